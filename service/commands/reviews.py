"""``stakehold reviews``: what a person should look at."""

import click

from service.commands.operating import (
    STATUSES,
    confirm,
    limit_option,
    operator_command,
    source_filter,
    yes_option,
)
from service.operators.office import Office
from service.operators.reports import Listing, Record
from service.operators.reviews import list_reviews, resolve_review


@click.group()
def command() -> None:
    """What the service did, or could not do, and a person should look at."""


@command.command("list", epilog=STATUSES)
@click.option("--player", "player_id", default="", metavar="ID", help="Only this player's.")
@source_filter
@click.option("--all", "include_resolved", is_flag=True, help="Resolved ones, too.")
@limit_option
@operator_command
def list_(
    office: Office, *, player_id: str, source_id: str, include_resolved: bool, limit: int | None
) -> Listing:
    """Reviews, oldest first."""
    return list_reviews(office, player_id, source_id, include_resolved=include_resolved, limit=limit)


@command.command(epilog=STATUSES)
@click.argument("review_id", metavar="REVIEW", type=click.IntRange(min=1))
@click.option("--by", "resolved_by", required=True, metavar="WHO", help="Who resolves it.")
@click.option("--note", required=True, help="What was found and done.")
@yes_option
@operator_command
def resolve(office: Office, *, review_id: int, resolved_by: str, note: str, yes: bool) -> Record:
    """Close a review. It stays in the list of all."""
    confirm(f"Resolve review {review_id} as {resolved_by}?", yes=yes)
    return resolve_review(office, review_id, resolved_by=resolved_by, note=note)

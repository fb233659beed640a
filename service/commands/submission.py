"""``stakehold submission``: what was submitted for later, and how far it is."""

import click

from service.commands.operating import (
    STATUSES,
    limit_option,
    operator_command,
    source_filter,
    source_option,
)
from service.operators.cells import short_names
from service.operators.office import Office
from service.operators.reports import Listing, Record
from service.operators.submissions import STATES, list_results, list_submissions, show_submission


@click.group()
def command() -> None:
    """What was submitted for later, and how far it is."""


@command.command("list", epilog=STATUSES)
@source_filter
@click.option("--unfinished", "unfinished_only", is_flag=True, help="Only those with commands that wait.")
@limit_option
@operator_command
def list_(office: Office, *, source_id: str, unfinished_only: bool, limit: int | None) -> Listing:
    """Submissions, newest first."""
    return list_submissions(office, source_id, unfinished_only=unfinished_only, limit=limit)


@command.command(epilog=STATUSES)
@click.argument("submission_id", metavar="SUBMISSION")
@source_option
@operator_command
def show(office: Office, *, submission_id: str, source_id: str) -> Record:
    """How far a submission is."""
    return show_submission(office, source_id, submission_id)


@command.command(epilog=STATUSES)
@click.argument("submission_id", metavar="SUBMISSION")
@source_option
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(short_names(STATES), case_sensitive=False),
    help="Only those in this state; may be said several times.",
)
@limit_option
@operator_command
def results(
    office: Office, *, submission_id: str, source_id: str, states: tuple[str, ...], limit: int | None
) -> Listing:
    """What became of a submission's commands, in their order."""
    return list_results(office, source_id, submission_id, states, limit=limit)

"""``stakehold dead-letters``: submitted commands that were given up."""

import click

from service.commands.operating import (
    STATUSES,
    confirm,
    limit_option,
    operator_command,
    source_filter,
    source_option,
    yes_option,
)
from service.operators.dead_letters import MOST_INDEXES, count_dead_letters, list_dead_letters, redrive
from service.operators.office import Office
from service.operators.reports import Listing, Record


@click.group()
def command() -> None:
    """Submitted commands that were given up: see them, and have them tried again."""


@command.command("list", epilog=STATUSES)
@source_filter
@click.option(
    "--submission", "submission_id", default="", metavar="ID", help="Only of this submission of the source."
)
@limit_option
@operator_command
def list_(office: Office, *, source_id: str, submission_id: str, limit: int | None) -> Listing:
    """Dead letters, oldest submission first, with the reason for which each was given up.

    JSON and CSV have the whole command, too.
    """
    if submission_id and not source_id:
        raise click.UsageError("a submission is of a source: say --source, too")
    return list_dead_letters(office, source_id, submission_id, limit=limit)


@command.command("redrive", epilog=STATUSES)
@click.argument("submission_id", metavar="SUBMISSION")
@source_option
@click.option(
    "--index",
    "indexes",
    multiple=True,
    type=click.IntRange(min=0),
    help="Only the one at this place of the submission; may be said several times.",
)
@yes_option
@operator_command
def redrive_(
    office: Office, *, submission_id: str, source_id: str, indexes: tuple[int, ...], yes: bool
) -> Record:
    """Have dead letters tried again, all of a submission or some.

    What was applied is never applied again, so this may be repeated.
    """
    if len(indexes) > MOST_INDEXES:
        raise click.UsageError(f"at most {MOST_INDEXES} places at once")
    if not yes:
        count = count_dead_letters(office, source_id, submission_id)
        which = f"{len(set(indexes))} places" if indexes else "all"
        confirm(f"{submission_id} has {count} dead letters. Have {which} tried again?", yes=False)
    return redrive(office, source_id, submission_id, indexes)

"""``stakehold transaction``: what became of a transaction."""

import click

from service.commands.operating import (
    STATUSES,
    Unsatisfied,
    operator_command,
    player_option,
    source_option,
)
from service.operators.office import Office
from service.operators.reports import Record
from service.operators.transactions import is_unseen, show_transaction


@click.command(epilog=STATUSES)
@click.argument("transaction_id", metavar="TRANSACTION")
@player_option
@source_option
@operator_command
def command(office: Office, *, transaction_id: str, player_id: str, source_id: str) -> Record:
    """What became of a transaction: applied, refused and why, rolled back, or not seen (exit status 1)."""
    record = show_transaction(office, source_id, player_id, transaction_id)
    if is_unseen(record):
        raise Unsatisfied(
            f"{source_id} has sent nothing under {transaction_id} for player {player_id} so far.", record
        )
    return record

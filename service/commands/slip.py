"""``stakehold slip``: where a slip stands."""

import click

from service.commands.operating import STATUSES, operator_command, player_option, source_option
from service.operators.office import Office
from service.operators.reports import Record
from service.operators.slips import show_slip


@click.command(epilog=STATUSES)
@click.argument("slip_id", metavar="SLIP")
@player_option
@source_option
@operator_command
def command(office: Office, *, slip_id: str, player_id: str, source_id: str) -> Record:
    """A slip as it is now: what is held, staked, live, paid and cashed out.

    SLIP is the id of the transaction that opened it.
    """
    return show_slip(office, source_id, player_id, slip_id)

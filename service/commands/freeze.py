"""``stakehold freeze``: no more debits of a wallet."""

import click

from service.commands.operating import (
    STATUSES,
    confirm,
    currency_option,
    operator_command,
    reason_option,
    yes_option,
)
from service.operators.office import Office
from service.operators.reports import Record
from service.operators.wallets import ACTIVE, FROZEN, describe_wallet, find_wallet, set_status


@click.command(epilog=STATUSES)
@click.argument("player_id", metavar="PLAYER")
@currency_option
@reason_option
@yes_option
@operator_command
def command(office: Office, *, player_id: str, currency_code: str, reason: str, yes: bool) -> Record:
    """Refuse a wallet's debits from now on; credits and rollbacks are still taken.

    A closed wallet takes less than a frozen one, and stays closed: exit status 1.
    """
    wallet = find_wallet(office, player_id, currency_code)
    confirm(f"Freeze {describe_wallet(player_id, wallet)}?", yes=yes)
    return set_status(office, player_id, currency_code, FROZEN, reason=reason, only_from=(ACTIVE, FROZEN))

"""``stakehold close``: a wallet takes part in play no more."""

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
from service.operators.wallets import ACTIVE, CLOSED, FROZEN, describe_wallet, find_wallet, set_status


@click.command(epilog=STATUSES)
@click.argument("player_id", metavar="PLAYER")
@currency_option
@reason_option
@yes_option
@operator_command
def command(office: Office, *, player_id: str, currency_code: str, reason: str, yes: bool) -> Record:
    """Close a wallet: no debits, deposits and bonuses; what settles or reverses earlier play is still taken.

    What is in it stays in it.
    """
    wallet = find_wallet(office, player_id, currency_code)
    confirm(f"Close {describe_wallet(player_id, wallet)}?", yes=yes)
    return set_status(
        office, player_id, currency_code, CLOSED, reason=reason, only_from=(ACTIVE, FROZEN, CLOSED)
    )

"""``stakehold unfreeze``: a wallet takes part in play again."""

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
@click.option("--closed", is_flag=True, help="Also where the wallet is closed: open it again.")
@yes_option
@operator_command
def command(
    office: Office, *, player_id: str, currency_code: str, reason: str, closed: bool, yes: bool
) -> Record:
    """Take a frozen wallet's debits again. A closed one stays closed, unless --closed says otherwise."""
    wallet = find_wallet(office, player_id, currency_code)
    confirm(f"Let {describe_wallet(player_id, wallet)} take part in play again?", yes=yes)
    only_from = (ACTIVE, FROZEN, CLOSED) if closed else (ACTIVE, FROZEN)
    return set_status(office, player_id, currency_code, ACTIVE, reason=reason, only_from=only_from)

"""``stakehold statement``: a wallet's statement."""

from datetime import datetime

import click

from service.commands.operating import (
    STATUSES,
    currency_option,
    from_option,
    limit_option,
    operator_command,
    to_option,
)
from service.operators.entries import draw_statement
from service.operators.office import Office
from service.operators.reports import Dossier


@click.command(epilog=STATUSES)
@click.argument("player_id", metavar="PLAYER")
@currency_option
@from_option
@to_option
@limit_option
@operator_command
def command(
    office: Office,
    *,
    player_id: str,
    currency_code: str,
    start: datetime | None,
    end: datetime | None,
    limit: int | None,
) -> Dossier:
    """A wallet's statement: opening balance, a line for each change, closing balance.

    Balances are cash, bonus and held together; the opening balance and all changes sum to the closing
    balance. In CSV the first and the last row are these two, of the line BALANCE; with --limit there is no
    last one.
    """
    return draw_statement(office, player_id, currency_code, start=start, end=end, limit=limit)

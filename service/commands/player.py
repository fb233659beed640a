"""``stakehold player``: a player at one glance."""

import click

from service.commands.operating import STATUSES, limit_option, operator_command, part_option, source_filter
from service.operators.office import Office
from service.operators.players import MOST_TRANSACTIONS, show_player
from service.operators.reports import Dossier


@click.command(epilog=STATUSES)
@click.argument("player_id", metavar="PLAYER")
@source_filter
@click.option(
    "--transactions",
    type=click.IntRange(1, MOST_TRANSACTIONS),
    default=20,
    show_default=True,
    help="How many of the newest transactions.",
)
@limit_option
@click.option(
    "--recent-only",
    is_flag=True,
    help="Only what the store remembers by itself, for when Postgres is away.",
)
@part_option("balances", "open_rounds", "open_slips", "transactions")
@operator_command
def command(
    office: Office,
    *,
    player_id: str,
    source_id: str,
    transactions: int,
    limit: int | None,
    recent_only: bool,
) -> Dossier:
    """A player's wallets, open rounds, open slips and newest transactions.

    All of one moment; of open rounds and slips only where there are at most 200. --limit is of rounds and
    slips.
    """
    return show_player(
        office, player_id, source_id, transactions=transactions, limit=limit, recent_only=recent_only
    )

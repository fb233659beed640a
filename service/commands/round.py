"""``stakehold round``: what was played in a round."""

import click

from service.commands.operating import (
    STATUSES,
    operator_command,
    part_option,
    player_option,
    source_option,
)
from service.operators.office import Office
from service.operators.reports import Dossier
from service.operators.rounds import MOST_TRANSACTIONS, show_round


@click.command(epilog=STATUSES)
@click.argument("round_id", metavar="ROUND")
@player_option
@source_option
@click.option("--game", "game_id", default="", metavar="ID", help="Where the round's transactions name one.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_TRANSACTIONS),
    default=MOST_TRANSACTIONS,
    show_default=True,
    help="How many of its newest transactions. For more: `stakehold entries --round`.",
)
@part_option("totals", "transactions")
@operator_command
def command(
    office: Office, *, round_id: str, player_id: str, source_id: str, game_id: str, limit: int
) -> Dossier:
    """A round: whether it is open, what was staked and won in it, and its transactions."""
    return show_round(office, source_id, player_id, game_id, round_id, limit=limit)

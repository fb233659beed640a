"""``stakehold entries``: what stands in the ledger."""

from typing import Any

import click

from service.commands.operating import (
    STATUSES,
    from_option,
    limit_option,
    operator_command,
    source_filter,
    to_option,
)
from service.operators.cells import short_names
from service.operators.entries import KINDS, EntryFilter, list_entries
from service.operators.office import Office
from service.operators.reports import Listing


@click.command(epilog=STATUSES)
@click.option("--player", "player_id", default="", metavar="ID", help="Only this player's.")
@click.option("--currency", "currency_code", default="", metavar="CODE", help="Only in this currency.")
@click.option("--round", "round_id", default="", metavar="ID", help="Only of this round.")
@source_filter
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(short_names(KINDS), case_sensitive=False),
    help="Only of this kind; may be said several times.",
)
@from_option
@to_option
@limit_option
@operator_command
def command(office: Office, *, limit: int | None, **wanted: Any) -> Listing:
    """The ledger's entries, oldest first: of a player, a round, a source, a time; refused ones, too.

    JSON has everything about an entry, its postings and hashes included.
    """
    return list_entries(office, EntryFilter(**wanted), limit=limit)

"""``stakehold access-log``: who was denied what, and who did what by way of administration."""

from typing import Any

import click

from service.commands.operating import STATUSES, limit_option, operator_command, read_moment
from service.operators.access import KINDS, AccessWanted, list_access_records
from service.operators.cells import short_names
from service.operators.office import Office
from service.operators.reports import Listing


@click.command(epilog=STATUSES)
@click.option("--caller", default="", metavar="NAME", help="Only this caller's.")
@click.option("--method", default="", metavar="METHOD", help="Only of this method, by its full name.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(short_names(KINDS), case_sensitive=False),
    help="Only of this kind; may be said several times.",
)
@click.option("--code", default="", metavar="CODE", help="Only with this code, such as PERMISSION_DENIED.")
@click.option("--player", "player_id", default="", metavar="ID", help="Only about this player.")
@click.option("--call", "call_id", default="", metavar="ID", help="Only of this administrative call.")
@click.option(
    "--from", "start", metavar="TIME", callback=read_moment, help="Written at or after this moment, of UTC."
)
@click.option("--to", "end", metavar="TIME", callback=read_moment, help="Written before this moment, of UTC.")
@limit_option
@operator_command
def command(office: Office, *, limit: int | None, **wanted: Any) -> Listing:
    """The access log, newest first: denied calls, and administrative ones with their outcome.

    A call that has BEGUN and not ENDED is under way, or its server died: it may have taken effect or not.
    JSON has what a call was about, and the hashes.
    """
    return list_access_records(office, AccessWanted(**wanted), limit=limit)

"""What the operators' commands have in common: options, confirmation, output, exit status."""

import functools
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from service.operators.office import opened_office
from service.operators.refusals import REFUSED, USAGE, NotDone
from service.operators.reports import Dossier, Listing, Report
from service.operators.writing import CSV, FORMATS, TABLE, written
from service.transport.client_settings import DEFAULT_ADDRESS

STATUSES = """\b
Exit status:
  0  done
  1  refused, or not there; standard error says why
  2  what was asked makes no sense
  3  no answer: the service is away or cannot answer now
"""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Option = Callable[[_Function], _Function]


def read_moment(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """A day or a time of ISO 8601; in UTC, where it does not say otherwise."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T23:59:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


limit_option: _Option[Any] = click.option(
    "--limit", type=click.IntRange(min=1), help="At most so many; default: all there are."
)
player_option: _Option[Any] = click.option("--player", "player_id", required=True, metavar="ID")
source_option: _Option[Any] = click.option(
    "--source", "source_id", required=True, metavar="ID", help="The calling provider."
)
source_filter: _Option[Any] = click.option(
    "--source", "source_id", default="", metavar="ID", help="Only this source's."
)
currency_option: _Option[Any] = click.option("--currency", "currency_code", required=True, metavar="CODE")
reason_option: _Option[Any] = click.option(
    "--reason", required=True, help="Why, for the audit: kept with the ledger's record."
)
from_option: _Option[Any] = click.option(
    "--from",
    "start",
    metavar="TIME",
    callback=read_moment,
    help="Booked at or after this day or time, of UTC.",
)
to_option: _Option[Any] = click.option(
    "--to", "end", metavar="TIME", callback=read_moment, help="Booked before this day or time, of UTC."
)
yes_option: _Option[Any] = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


def part_option(*parts: str) -> _Option[Any]:
    """For commands that answer with a dossier of these listings."""
    return click.option(
        "--part", type=click.Choice(parts), help="Only this table; a CSV needs to know which one."
    )


class Unsatisfied(NotDone):
    """What was found is written, and then it ends as NotDone does."""

    def __init__(self, sentence: str, report: Report) -> None:
        super().__init__(sentence)
        self.report = report


def operator_command(function: Callable[..., Report]) -> Callable[..., None]:
    """A command that asks the service, as ``office``, and writes the report that it returns."""

    @click.option(
        "--address",
        default=DEFAULT_ADDRESS,
        envvar="STAKEHOLD_ADDRESS",
        show_default=True,
        show_envvar=True,
        metavar="HOST:PORT",
        help="Where the service is.",
    )
    @click.option(
        "--admin-address",
        default="",
        envvar="STAKEHOLD_ADMIN_ADDRESS",
        show_envvar=True,
        metavar="HOST:PORT",
        help="Where its administration is, if that has an address of its own.",
    )
    @click.option(
        "--timeout-s",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        show_default=True,
        help="The longest that an answer may take.",
    )
    @click.option("--output", type=click.Choice(FORMATS), default=TABLE, show_default=True)
    @functools.wraps(function)
    def run(*, address: str, admin_address: str, timeout_s: float, output: str, **asked: Any) -> None:
        part = asked.pop("part", None)
        try:
            with opened_office(address, timeout_s, admin_address=admin_address) as office:
                try:
                    _write(function(office=office, **asked), output, part)
                except Unsatisfied as unsatisfied:
                    _write(unsatisfied.report, output, part)
                    raise
        except NotDone as refused:
            sys.stdout.flush()
            click.echo(f"stakehold: {refused}", err=True)
            sys.exit(refused.status)

    return run


def _write(report: Report, output: str, part: str | None) -> None:
    if isinstance(report, Dossier):
        report = _chosen(report, output, part)
    for piece in written(report, output):
        sys.stdout.write(piece)
    sys.stdout.flush()
    listings = report.listings if isinstance(report, Dossier) else [report]
    for listing in listings:
        if isinstance(listing, Listing) and listing.is_cut:
            click.echo(f"stakehold: there may be more {listing.name} than these.", err=True)


def _chosen(dossier: Dossier, output: str, part: str | None) -> Dossier | Listing:
    names = [listing.name for listing in dossier.listings]
    if part is None and output == CSV and len(names) == 1:
        [part] = names
    if part is None and output == CSV:
        raise click.UsageError(f"a CSV is one table: say --part {', '.join(names[:-1])} or {names[-1]}")
    if part is None:
        return dossier
    if part not in names:
        raise click.UsageError(f"there is no {part} here, only {', '.join(names)}")
    return dossier.part(part)


def confirm(question: str, *, yes: bool) -> None:
    """Ends the program unless somebody says yes. Asks on standard error."""
    if yes:
        return
    try:
        is_meant = click.confirm(question, err=True)
    except click.Abort:
        click.echo("\nstakehold: nobody can be asked here; --yes says that it is meant.", err=True)
        sys.exit(USAGE)
    if not is_meant:
        click.echo("stakehold: nothing was done.", err=True)
        sys.exit(REFUSED)

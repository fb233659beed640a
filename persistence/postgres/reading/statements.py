"""A wallet's statement: an opening balance, a line for every transaction that was applied, a closing balance.

Lines are applied entries only, those of zero included; that a wallet was opened or its status set is in the
list of entries. All pages of a statement are of the same versions, those that the first page found, so that
opening balance plus changes equal closing balance also while the wallet goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from persistence.errors import PageTokenInvalid
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.postgres.reading.balances import (
    PastBalance,
    balance_before,
    balance_of_version,
    require_wallet,
)
from persistence.postgres.reading.entries import RecordedEntry, complete_entries, fitting_page
from persistence.postgres.reading.page_tokens import read_token, write_token
from persistence.transactions import CurrencyCode, PlayerId

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StatementPeriod:
    """A wallet and a period of booked time; ``end`` is exclusive, None is without a bound."""

    player_id: PlayerId
    currency: CurrencyCode
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class StatementPage:
    """Lines of a statement; the balances are those of the whole period. Minor units of cash, bonus and held
    together.
    """

    opening_balance: int
    lines: Sequence[RecordedEntry]
    closing_balance: int
    next_page_token: str


async def read_statement(
    connection: Connection, period: StatementPeriod, *, page_size: int, page_token: str
) -> StatementPage:
    """One page. Raises WalletNotFound and PageTokenInvalid."""
    player_id, currency = period.player_id, period.currency
    scope = ("statement", player_id, currency, period.start, period.end)
    numbers = read_token(page_token, scope, count=2) if page_token else None
    await require_wallet(connection, player_id, currency)
    opening = None
    if period.start is not None:
        opening = await balance_before(connection, player_id, currency, end=period.start)
    if numbers is None:
        end = period.end or _END_OF_TIME
        closing = await balance_before(connection, player_id, currency, end=end)
        after_version = _version(opening)
    else:
        after_version, last_version = numbers
        closing = await balance_of_version(connection, player_id, currency, version=last_version)
        if closing is None:
            raise PageTokenInvalid
    rows = await connection.fetch(
        query("statement_lines"), player_id, currency, after_version, _version(closing), page_size + 1
    )
    shown, token = fitting_page(rows, page_size), ""
    if len(shown) < len(rows):
        token = write_token((shown[-1]["version"], _version(closing)), scope)
    lines = await complete_entries(connection, shown)
    return StatementPage(_total(opening), lines, _total(closing), token)


def _version(past: PastBalance | None) -> int:
    return past.balance.version if past else 0


def _total(past: PastBalance | None) -> int:
    return past.balance.buckets.total() if past else 0

"""Balances of the past, and of everybody together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from persistence.errors import BalanceNotFound, WalletNotFound
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.postgres.reading.entries import Row, decode_buckets
from persistence.transactions import CurrencyCode, PlayerId, WalletBalance, WalletStatus


@dataclass(frozen=True, slots=True)
class PastBalance:
    """A wallet right after one of its versions was booked."""

    balance: WalletBalance
    booked_time: datetime


@dataclass(frozen=True, slots=True)
class TrialBalanceLine:
    """A sum of accounts. ``owner_id`` is empty for the house and for all players together."""

    currency: CurrencyCode
    owner_kind: str
    owner_id: str
    bucket: str
    balance: int


async def require_wallet(connection: Connection, player_id: PlayerId, currency: CurrencyCode) -> None:
    """Raises WalletNotFound unless the ledger knows the wallet."""
    if not await connection.fetchval(query("wallet_exists"), player_id, currency):
        raise WalletNotFound(player_id, currency)


async def balance_before(
    connection: Connection, player_id: PlayerId, currency: CurrencyCode, *, end: datetime
) -> PastBalance | None:
    """The wallet after its last change before a moment; None where it had not been opened by then.

    The booked time of a wallet's versions never decreases, so the last one booked is the highest version.
    """
    row = await connection.fetchrow(query("last_change_before"), player_id, currency, end)
    return None if row is None else _past_balance(row, currency)


async def balance_of_version(
    connection: Connection, player_id: PlayerId, currency: CurrencyCode, *, version: int
) -> PastBalance | None:
    row = await connection.fetchrow(query("change_of_version"), player_id, currency, version)
    return None if row is None else _past_balance(row, currency)


async def balance_at(
    connection: Connection,
    player_id: PlayerId,
    currency: CurrencyCode,
    *,
    end: datetime | None,
    version: int | None,
) -> PastBalance:
    """The balance after a version, or after the last change before ``end``; exactly one of them is given.

    Raises WalletNotFound and BalanceNotFound.
    """
    await require_wallet(connection, player_id, currency)
    if version is not None:
        past = await balance_of_version(connection, player_id, currency, version=version)
        problem = f"the {currency} wallet of player {player_id} has no version {version} in the ledger"
    else:
        assert end is not None
        past = await balance_before(connection, player_id, currency, end=end)
        problem = f"the {currency} wallet of player {player_id} had not been opened at that moment"
    if past is None:
        raise BalanceNotFound(problem, currency=currency, version=version)
    return past


async def trial_balance(connection: Connection, currency: CurrencyCode | None) -> Sequence[TrialBalanceLine]:
    """All accounts, summed; of one currency or of all. Of each currency the lines sum to zero."""
    return [
        TrialBalanceLine(
            row["currency"], row["owner_kind"], row["owner_id"], row["bucket"], int(row["balance"])
        )
        for row in await connection.fetch(query("trial_balance"), currency)
    ]


def _past_balance(row: Row, currency: CurrencyCode) -> PastBalance:
    balance = WalletBalance(
        currency,
        row["version"],
        WalletStatus(row["wallet_status"]),
        decode_buckets(row, "after"),
        int(row["credit_line"]),
    )
    return PastBalance(balance, row["booked_time"])

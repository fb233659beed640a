"""The ids of accounts, remembered for as long as they fit into memory."""

from collections.abc import Iterable, Mapping

from persistence.chart_of_accounts import Account, Bucket, OwnerKind
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.transactions import CurrencyCode

PlacedAccount = tuple[int, Account]
"""A partition and an account in it."""

MAX_REMEMBERED = 200_000


class AccountIds:
    """Looks accounts up, and makes them when they are first posted to.

    What a transaction makes is remembered when it has been committed: ``keep`` or ``forget`` ends each.
    """

    def __init__(self, max_remembered: int = MAX_REMEMBERED) -> None:
        self._max_remembered = max_remembered
        self._remembered: dict[PlacedAccount, int] = {}
        self._uncommitted: dict[PlacedAccount, int] = {}

    async def resolve(
        self, connection: Connection, accounts: Iterable[PlacedAccount]
    ) -> Mapping[PlacedAccount, int]:
        """The id of each account, made if need be. To be called within a transaction."""
        wanted = set(accounts)
        known = {account: self._remembered[account] for account in wanted if account in self._remembered}
        missing = sorted(wanted - known.keys(), key=_order)
        if missing:
            rows = await connection.fetch(
                query("resolve_accounts"),
                [partition for partition, _ in missing],
                [account.owner_kind for _, account in missing],
                [account.owner_id for _, account in missing],
                [account.bucket for _, account in missing],
                [account.currency for _, account in missing],
            )
            for row in rows:
                account = Account(
                    OwnerKind(row["owner_kind"]),
                    row["owner_id"],
                    Bucket(row["bucket"]),
                    CurrencyCode(row["currency"]),
                )
                self._uncommitted[row["partition"], account] = row["account_id"]
        return {**known, **self._uncommitted}

    def keep(self) -> None:
        """The transaction was committed."""
        self._remembered.update(self._uncommitted)
        self._uncommitted.clear()
        for oldest in list(self._remembered)[: max(0, len(self._remembered) - self._max_remembered)]:
            del self._remembered[oldest]

    def forget(self) -> None:
        """The transaction was not committed, or nobody knows."""
        self._uncommitted.clear()


def _order(placed: PlacedAccount) -> tuple[int, str, str, str, str]:
    partition, account = placed
    return partition, account.owner_kind, account.owner_id, account.bucket, account.currency

"""Compares hot wallets with the ledger, at the same version.

Players whom the store does not have in its memory are left out: their next call loads them from the ledger.

The ledger is seen as of the audit's snapshot; the hot path goes on. A wallet that is ahead of the snapshot
is looked up again in the ledger as it is by then. If its version is not there either, it still has to be
drained; but where nothing is left to drain, it is a finding. The order of reading makes that sound: first the
wallet, then the end of its outbox, then the cursor, then the ledger's entry. What the wallet shows was in the
outbox when its end was read, so a cursor at that end says that the entry must be in the ledger.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from persistence.audit.counts import AuditCounts
from persistence.audit.findings import Finding, FindingKind
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.postgres.reading.entries import Row, decode_buckets
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    OutboxPosition,
    PlayerId,
    WalletBalance,
    WalletStatus,
    partition_of,
)
from persistence.valkey.hot_wallets import HotWallets, WalletsOfPlayer

_LedgerWallets = Mapping[PlayerId, Mapping[CurrencyCode, WalletBalance]]


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A hot wallet whose version the snapshot does not have; ``ledger_version`` is 0 for no wallet at all."""

    player: PlayerId
    hot: WalletBalance
    ledger_version: int


class HotComparison:
    """``snapshot`` is the audit's connection, ``present`` one that sees the ledger as it is now."""

    def __init__(
        self,
        hot: HotWallets,
        *,
        snapshot: Connection,
        present: Connection,
        partition_count: int,
        counts: AuditCounts,
        batch_size: int,
    ) -> None:
        self._hot = hot
        self._snapshot = snapshot
        self._present = present
        self._partition_count = partition_count
        self._counts = counts
        self._batch_size = batch_size

    async def compare_all(self) -> AsyncIterator[Finding]:
        """The wallets of the ledger with the hot ones, then the hot ones that the ledger does not have."""
        last = ""
        while rows := await self._snapshot.fetch(query("audit_players"), last, self._batch_size):
            async for finding in self.compare([row["player_id"] for row in rows]):
                yield finding
            last = rows[-1]["player_id"]
        seen: set[PlayerId] = set()
        async for found in self._hot.players(self._batch_size):
            for finding in self._misplaced(found):
                yield finding
            unknown = await self._unknown({player for _, player in found} - seen)
            seen |= unknown
            async for finding in self.compare(sorted(unknown)):
                yield finding

    async def compare(self, players: Sequence[PlayerId]) -> AsyncIterator[Finding]:
        """All wallets of some players."""
        if not players:
            return
        ledger = await self._ledger_wallets(players)
        hot = await self._hot.read(players)
        ahead: list[_Ahead] = []
        for player in players:
            if (shown := hot[player]) is not None:
                for finding in self._compare_player(player, ledger.get(player, {}), shown, ahead):
                    yield finding
        async for finding in self._compare_with_present(ahead):
            yield finding

    def _compare_player(
        self,
        player: PlayerId,
        ledger: Mapping[CurrencyCode, WalletBalance],
        hot: WalletsOfPlayer,
        ahead: list[_Ahead],
    ) -> Iterator[Finding]:
        for currency in sorted(ledger.keys() - hot.keys()):
            problem = f"is at version {ledger[currency].version} in the ledger, but not in the store at all"
            yield self._finding(FindingKind.ORPHAN, player, currency, problem)
        for currency, shown in sorted(hot.items()):
            recorded = ledger.get(currency)
            if shown is None:
                yield self._finding(FindingKind.DRIFT, player, currency, "cannot be read in the store")
            elif recorded is None or shown.version > recorded.version:
                ahead.append(_Ahead(player, shown, recorded.version if recorded else 0))
            elif shown.version < recorded.version:
                yield self._finding(
                    FindingKind.DRIFT,
                    player,
                    currency,
                    f"is at version {shown.version} in the store, but at {recorded.version} in the ledger",
                )
            else:
                yield from self._compare_wallet(player, shown, recorded)

    async def _compare_with_present(self, ahead: Sequence[_Ahead]) -> AsyncIterator[Finding]:
        """What became of the wallets that were ahead of the snapshot."""
        if not ahead:
            return
        partitions = {self._partition(wallet.player) for wallet in ahead}
        ends = await self._hot.outbox_ends(partitions)
        cursors = await self._cursors(partitions)
        recorded = await self._versions(ahead)
        for wallet in ahead:
            partition = self._partition(wallet.player)
            end, cursor = ends[partition], cursors.get(partition)
            now = recorded.get((wallet.player, wallet.hot.currency, wallet.hot.version))
            if now is not None:
                for finding in self._compare_wallet(wallet.player, wallet.hot, now):
                    yield finding
            elif end is not None and (cursor is None or end > cursor):
                self._counts.undrained_wallet_count += 1
            else:
                yield self._nothing_left(wallet)

    def _nothing_left(self, wallet: _Ahead) -> Finding:
        kind = FindingKind.DRIFT if wallet.ledger_version else FindingKind.ORPHAN
        known = f"at version {wallet.ledger_version} in" if wallet.ledger_version else "not in"
        return self._finding(
            kind,
            wallet.player,
            wallet.hot.currency,
            f"is at version {wallet.hot.version} in the store, but {known} the ledger, and nothing is left "
            "to drain",
        )

    def _compare_wallet(
        self, player: PlayerId, hot: WalletBalance, ledger: WalletBalance
    ) -> Iterator[Finding]:
        self._counts.wallet_count += 1
        if hot != ledger:
            yield self._finding(
                FindingKind.DRIFT,
                player,
                hot.currency,
                f"at version {hot.version} is {_named(hot)} in the store, but {_named(ledger)} in the ledger",
            )

    def _misplaced(self, found: Iterable[tuple[int, PlayerId]]) -> Iterator[Finding]:
        for partition, player in found:
            own = self._partition(player)
            if partition != own:
                yield Finding(
                    FindingKind.ORPHAN,
                    partition,
                    f"hot wallets of player {player} lie in partition {partition}, but belong in {own}",
                    player_id=player,
                )

    async def _unknown(self, players: set[PlayerId]) -> set[PlayerId]:
        """Those that have no wallet in the ledger's snapshot."""
        if not players:
            return set()
        rows = await self._snapshot.fetch(query("audit_players_with_wallets"), list(players))
        return players - {row["player_id"] for row in rows}

    async def _ledger_wallets(self, players: Sequence[PlayerId]) -> _LedgerWallets:
        wallets: dict[PlayerId, dict[CurrencyCode, WalletBalance]] = {}
        for row in await self._snapshot.fetch(query("audit_wallets_of_players"), list(players)):
            wallets.setdefault(row["player_id"], {})[row["currency"]] = _wallet(row)
        return wallets

    async def _cursors(self, partitions: Iterable[int]) -> dict[int, OutboxPosition]:
        rows = await self._present.fetch(query("cursors_now"), list(partitions))
        return {row["partition"]: OutboxPosition(row["cursor_epoch"], row["cursor_sequence"]) for row in rows}

    async def _versions(
        self, ahead: Sequence[_Ahead]
    ) -> dict[tuple[PlayerId, CurrencyCode, int], WalletBalance]:
        """The ledger's wallets at the hot ones' versions, as far as it has them by now."""
        rows = await self._present.fetch(
            query("versions_now"),
            [wallet.player for wallet in ahead],
            [wallet.hot.currency for wallet in ahead],
            [wallet.hot.version for wallet in ahead],
        )
        return {(row["player_id"], row["currency"], row["version"]): _wallet(row) for row in rows}

    def _partition(self, player: PlayerId) -> int:
        return partition_of(player, self._partition_count)

    def _finding(self, kind: FindingKind, player: PlayerId, currency: CurrencyCode, problem: str) -> Finding:
        return Finding(
            kind,
            self._partition(player),
            f"the {currency} wallet of player {player} {problem}",
            player_id=player,
            currency=currency,
        )


def _wallet(row: Row) -> WalletBalance:
    return WalletBalance(
        CurrencyCode(row["currency"]),
        row["version"],
        WalletStatus(row["wallet_status"]),
        decode_buckets(row, "after"),
        int(row["credit_line"]),
    )


def _named(wallet: WalletBalance) -> str:
    buckets: Buckets = wallet.buckets
    return (
        f"{wallet.status.value} with cash {buckets.cash}, bonus {buckets.bonus}, held {buckets.held}, "
        f"receivable {buckets.receivable}, credit line {wallet.credit_line}"
    )

"""Fills a ledger with wallets as if they had been opened, and played with, long ago.

The rows are made by the product's own code, with the hashes of the chain, and go in by COPY as the drainer's
do, so that every rule of the database holds. Only the store is left out: it has never seen any of them.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from multiprocessing import get_context
from typing import Any

import asyncpg

from persistence.chart_of_accounts import Account, legs_of
from persistence.hash_chain import ChainedEntry, entry_hash
from persistence.outbox import OutboxEntry
from persistence.postgres.account_ids import AccountIds
from persistence.postgres.copy_rows import ENTRY_COLUMNS, POSTING_COLUMNS, entry_line, posting_lines
from persistence.transactions import (
    OPERATOR_SOURCE,
    Buckets,
    CurrencyCode,
    EntryId,
    EntryType,
    Operation,
    OutboxPosition,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletStatus,
    partition_of,
)
from tests.bench.workload import CURRENCY, SOURCE, player_name

CREDIT_LINE = 10**12
"""So that a new wallet can be played with at once."""

_ROWS_AT_ONCE = 20_000
_WORKERS = 2
_DAY_MS = 86_400_000
_MOVE_CURSOR = """
UPDATE ledger.partitions SET cursor_epoch = $2, cursor_sequence = $3, entry_count = $4, chain_hash = $5
WHERE partition = $1
"""
_STATES = "SELECT partition, epoch, cursor_sequence, entry_count, chain_hash FROM ledger.partitions"


@dataclass(frozen=True, slots=True)
class Past:
    """What is in the ledger before a run: so many wallets with nothing but their opening, and after them
    players with so many tips each, three days old.
    """

    wallets: int
    tips: Sequence[int]

    def players(self) -> Iterator[tuple[PlayerId, int]]:
        """Each player, with the number of tips."""
        for number in range(self.wallets):
            yield PlayerId(player_name(number)), 0
        for number, tips in enumerate(self.tips, self.wallets):
            yield PlayerId(player_name(number)), tips


async def seed(dsn: str, past: Past, *, now_ms: int) -> None:
    """Writes all of it, each partition in one transaction. Nothing may be drained meanwhile."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(_WORKERS, get_context("spawn")) as pool:
        await asyncio.gather(
            *(
                loop.run_in_executor(pool, _seed_share, dsn, past, now_ms - 3 * _DAY_MS, worker)
                for worker in range(_WORKERS)
            )
        )


def _seed_share(dsn: str, past: Past, booked_ms: int, worker: int) -> None:
    """The partitions whose number leaves the worker's as remainder."""
    asyncio.run(_write_share(dsn, past, booked_ms, worker))


async def _write_share(dsn: str, past: Past, booked_ms: int, worker: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(_STATES)
        shelves = {
            row["partition"]: _Shelf(
                row["partition"], row["epoch"], row["cursor_sequence"], row["entry_count"], row["chain_hash"]
            )
            for row in rows
            if row["partition"] % _WORKERS == worker
        }
        async with connection.transaction():
            writing = _Writing(connection)
            for player, tips in past.players():
                shelf = shelves.get(partition_of(player, len(rows)))
                if shelf is not None:
                    await writing.add(shelf, player, _history(player, tips), booked_ms)
            await writing.flush()
            for shelf in shelves.values():
                state = (shelf.partition, shelf.epoch, shelf.sequence, shelf.entry_count, shelf.chain_hash)
                await connection.execute(_MOVE_CURSOR, *state)
    finally:
        await connection.close()


@dataclass(slots=True)
class _Shelf:
    """A partition: where its outbox and its chain stand."""

    partition: int
    epoch: int
    sequence: int
    entry_count: int
    chain_hash: bytes


@dataclass(slots=True)
class _Writing:
    """Lines that are on their way into the ledger."""

    connection: "asyncpg.Connection[Any]"
    _account_ids: AccountIds = field(default_factory=AccountIds)
    _entries: list[str] = field(default_factory=list)
    _postings: list[str] = field(default_factory=list)

    async def add(
        self, shelf: _Shelf, player: PlayerId, history: Iterable[OutboxEntry], booked_ms: int
    ) -> None:
        """A record for each entry, as if each had been called for by itself."""
        ids: Mapping[tuple[int, Account], int] = {}
        for entry in history:
            shelf.sequence += 1
            entry_id = EntryId(shelf.partition, OutboxPosition(shelf.epoch, shelf.sequence), 0)
            chained = ChainedEntry(entry_id, shelf.entry_count, player, booked_ms, entry)
            legs = legs_of(player, entry)
            hash_ = entry_hash(shelf.chain_hash, chained, legs)
            self._entries.append(entry_line(chained, previous_hash=shelf.chain_hash, hash_=hash_))
            if legs:
                places = [(shelf.partition, leg.account) for leg in legs]
                if any(place not in ids for place in places):
                    ids = await self._account_ids.resolve(self.connection, places)
                self._postings += posting_lines(entry_id, legs, [ids[place] for place in places])
            shelf.entry_count += 1
            shelf.chain_hash = hash_
            if len(self._entries) >= _ROWS_AT_ONCE:
                await self.flush()

    async def flush(self) -> None:
        await self._copy("entries", ENTRY_COLUMNS, self._entries)
        await self._copy("postings", POSTING_COLUMNS, self._postings)

    async def _copy(self, table: str, columns: Sequence[str], lines: list[str]) -> None:
        if lines:
            source = BytesIO("\n".join(lines).encode())
            lines.clear()
            await self.connection.copy_to_table(
                table, schema_name="ledger", columns=columns, source=source, format="text"
            )


def _history(player: PlayerId, tips: int) -> Iterator[OutboxEntry]:
    yield _OPENED
    for number in range(tips):
        yield _entry(
            type=EntryType.APPLIED,
            operation=Operation.DEBIT,
            source=SourceId(SOURCE),
            transaction_id=TransactionId(old_id(number)),
            kind=TransactionKind.TIP,
            fingerprint=f"{number:020x}",
            amount=1,
            version=number + 2,
            change=Buckets(cash=-1),
            after=Buckets(cash=-number - 1),
            wallet_version=number + 2,
            outcome=Outcome.APPLIED,
        )


def old_id(number: int) -> str:
    """The id of a player's tip of long ago."""
    return f"long-ago-{number:07}"


def _entry(**fields: Any) -> OutboxEntry:
    usual: dict[str, Any] = {
        "operation": None,
        "kind": None,
        "fingerprint": "",
        "currency": CurrencyCode(CURRENCY),
        "amount": None,
        "change": Buckets(),
        "after": Buckets(),
        "wallet_status": WalletStatus.ACTIVE,
        "credit_line": CREDIT_LINE,
        "outcome": None,
        "occurred_ms": None,
        "metadata": {},
        "late": False,
        "closes_round": False,
        **dict.fromkeys(("game", "round", "reference", "reason", "related"), ""),
    }
    return OutboxEntry(**{**usual, **fields})


_OPENED = _entry(
    type=EntryType.WALLET_OPENED,
    source=OPERATOR_SOURCE,
    transaction_id=TransactionId(f"open-{CURRENCY}"),
    version=1,
    wallet_version=1,
)

"""The guard looks for ever, and what it has seen to be lost it says, whatever fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.acknowledged import Acknowledged, AcknowledgedTail, Told
from persistence.errors import DeadlineExceeded, LedgerUnavailable
from persistence.partition_guard import GuardSettings, PartitionGuard
from persistence.postgres.adopting import AdoptingLedger, Incident
from persistence.postgres.database import Connection
from persistence.postgres.ledger_settings import read_settings
from persistence.transactions import EntryType, OutboxPosition, PlayerId, SourceId, TransactionId
from persistence.valkey.keys import epoch_key
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.waiting import until

DATABASE = 12
"""Of the shared server; the service's own data are in database 0."""
PARTITION = 3
EVERY_S = 0.02
ELSEWHERE = "0" * 40
"""An incarnation that is nobody's."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A guard over a store and a ledger of their own."""

    guard: PartitionGuard
    acknowledged: AcknowledgedTail
    ledger: Connection
    store: Redis

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.guard.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def is_vouching(self) -> bool:
        return bool(await self.ledger.fetchval("SELECT count(*) FROM ledger.vouchers"))

    async def as_if_promoted(self) -> None:
        """The store says that another primary was taken over than the one that it is."""
        witness = self.guard.witness(PARTITION)
        assert witness is not None
        await self.store.set(epoch_key(PARTITION), str(replace(witness, incarnation=ELSEWHERE)))
        await self.ledger.execute(
            "UPDATE ledger.epochs SET incarnation = $2 WHERE partition = $1", PARTITION, ELSEWHERE
        )

    async def lost(self) -> list[str]:
        rows = await self.ledger.fetch(
            "SELECT transaction_id FROM ledger.incidents WHERE kind = 'acknowledged_lost' ORDER BY 1"
        )
        return [row["transaction_id"] for row in rows]


@pytest_asyncio.fixture
async def watch(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Watch]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    ledger = await asyncpg.connect(ledger_dsn)
    try:
        async with Redis.from_url(url) as store:
            await store.flushdb()
            ledger_id = (await read_settings(ledger)).ledger_id
            tail = AcknowledgedTail()
            guard = PartitionGuard(GuardSettings(ledger_dsn, url, ledger_id, "s1", every_s=EVERY_S), tail)
            await guard.start()
            yield Watch(guard, tail, ledger, store)
    finally:
        await ledger.close()


@pytest.mark.parametrize(
    "error", [DeadlineExceeded("too long"), LedgerUnavailable("away"), KeyError("a mistake")]
)
async def test_a_look_that_fails_is_not_the_last(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    look, failures = PartitionGuard._look, [error]

    async def fail_once(*arguments: object) -> None:
        if failures:
            raise failures.pop()
        await look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PartitionGuard, "_look", fail_once)
    async with watch.looking():
        await until(watch.is_vouching, what="it looks again")


async def test_what_is_lost_is_named_though_the_ledger_did_not_take_it_at_first(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_incidents, failures = AdoptingLedger.raise_incidents, [LedgerUnavailable("away")]

    async def fail_once(self: AdoptingLedger, incidents: Sequence[Incident]) -> None:
        if failures and any(incident.transaction for incident in incidents):
            raise failures.pop()
        await raise_incidents(self, incidents)

    monkeypatch.setattr(AdoptingLedger, "raise_incidents", fail_once)
    bet = (TransactionId("b1"), Told(EntryType.APPLIED, "payload"))
    answer = Acknowledged(OutboxPosition(1, 0), PlayerId("p1"), SourceId("games"), (bet,))
    watch.acknowledged.add(PARTITION, answer)
    await watch.store.flushdb()

    async def named() -> bool:
        return await watch.lost() == ["b1"]

    async with watch.looking():
        await until(named, what="the lost transaction is named")
    assert not failures
    assert watch.guard.view.acknowledged_lost == 1


async def test_an_id_that_two_stores_answered_and_lost_is_named_twice(watch: Watch) -> None:
    for position, entry_type in (
        (OutboxPosition(1, 5), EntryType.NO_MOVEMENT),
        (OutboxPosition(2, 0), EntryType.APPLIED),
    ):
        told = (TransactionId("x1"), Told(entry_type, "payload"))
        answer = Acknowledged(position, PlayerId("p1"), SourceId("games"), (told,))
        watch.acknowledged.add(PARTITION, answer)
    for _ in range(2):
        await watch.store.flushdb()
        await watch.guard.start()

    async def named() -> bool:
        return await watch.lost() == ["x1", "x1"]

    async with watch.looking():
        await until(named, what="both answers are named")


async def test_a_start_waits_until_what_another_server_said_does_not_count_any_more(watch: Watch) -> None:
    await watch.as_if_promoted()
    await AdoptingLedger(watch.ledger).vouch("a server that is gone", {PARTITION: ELSEWHERE})

    adopted = await watch.guard.start()

    assert (adopted.fenced, list(adopted.taken_over)) == ({}, [PARTITION])


async def test_a_server_that_stopped_holds_nobody_up(watch: Watch) -> None:
    async with watch.looking():
        await until(watch.is_vouching, what="it looks")
    await AdoptingLedger(watch.ledger).vouch("another server", {PARTITION: ELSEWHERE})

    await watch.guard.withdraw()

    assert await watch.ledger.fetchval("SELECT array_agg(server_id) FROM ledger.vouchers") == [
        "another server"
    ]

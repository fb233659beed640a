"""The access log: nothing is lost or written twice, however many denials there are, and whatever fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from persistence.audit.audit import Audit
from persistence.audit.findings import Finding, FindingKind
from persistence.errors import LedgerUnavailable
from persistence.postgres.access_log import (
    AccessFilter,
    AccessKind,
    AccessReader,
    AccessRecord,
    AccessTable,
    WrittenRecord,
)
from persistence.postgres.database import LedgerRole, Pool, ledger_pool
from service.callers.access_log import MOST_DENIALS, MOST_OF_A_CALLER, WINDOW_S, AccessLog, Visit
from service.callers.access_metrics import AccessMetrics
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.waiting import until

TIMEOUT_S = 10.0
DEBIT = "/stakehold.v1.WalletService/Debit"
GAME = Visit(DEBIT, "10.0.0.1", "games", "certificate", source_id="psp", player_id="p1", transaction_id="t1")


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True, slots=True)
class Office:
    """A log on a ledger of its own."""

    dsn: str
    log: AccessLog
    table: AccessTable
    reader: AccessReader
    clock: Clock
    registry: CollectorRegistry

    async def records(self, wanted: AccessFilter | None = None) -> list[WrittenRecord]:
        """All of them, oldest first, page by page."""
        found: list[WrittenRecord] = []
        token = ""
        while True:
            page = await self.reader.list(
                wanted or AccessFilter(), page_size=7, page_token=token, deadline=soon()
            )
            found += page.records
            token = page.next_page_token
            if not token:
                return found[::-1]

    async def flush(self) -> None:
        await self.log.flush(timeout_s=TIMEOUT_S)

    async def findings(self) -> list[Finding]:
        return [
            found
            async for found in Audit(self.dsn, valkey_url=None).run()
            if isinstance(found, Finding) and found.kind is FindingKind.ACCESS_LOG_BROKEN
        ]

    @asynccontextmanager
    async def as_superuser(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(self.dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def head_held(self) -> AsyncIterator[None]:
        """Nobody can write to the log meanwhile."""
        async with self.as_superuser() as connection, connection.transaction():
            await connection.execute("SELECT FROM ledger.access_head FOR UPDATE")
            yield


def soon() -> float:
    return asyncio.get_running_loop().time() + TIMEOUT_S


@asynccontextmanager
async def recorder_pool(dsn: str) -> AsyncIterator[Pool]:
    async with ledger_pool(dsn, role=LedgerRole.RECORDER, size=3, statement_timeout_s=TIMEOUT_S) as pool:
        yield pool


@pytest_asyncio.fixture
async def office(ledger_dsn: str) -> AsyncIterator[Office]:
    clock, registry = Clock(), CollectorRegistry()
    async with (
        recorder_pool(ledger_dsn) as pool,
        ledger_pool(ledger_dsn, role=LedgerRole.READER, size=2, statement_timeout_s=TIMEOUT_S) as reading,
    ):
        table = AccessTable(pool, server_id="server-1")
        log = AccessLog(table, AccessMetrics(registry), now_s=clock)
        yield Office(ledger_dsn, log, table, AccessReader(reading), clock, registry)


def deny(log: AccessLog, visit: Visit = GAME) -> None:
    log.deny(
        visit, verb="debit BET", why="another's", code="PERMISSION_DENIED", reason="SOURCE_NOT_PERMITTED"
    )


@asynccontextmanager
async def writing(office: Office) -> AsyncIterator[None]:
    task = asyncio.create_task(office.log.keep_written())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_denial_says_who_what_when_from_where_and_why(office: Office) -> None:
    before = datetime.now(UTC)

    deny(office.log)
    await office.flush()

    [written] = await office.records()
    record = written.record
    assert (record.kind, record.caller, record.identified_by) == (AccessKind.DENIED, "games", "certificate")
    assert (record.method, record.verb, record.peer) == (DEBIT, "debit BET", "10.0.0.1")
    assert (record.source_id, record.player_id, record.transaction_id) == ("psp", "p1", "t1")
    assert (record.why, record.code, record.reason, record.count) == (
        "another's",
        "PERMISSION_DENIED",
        "SOURCE_NOT_PERMITTED",
        1,
    )
    assert before <= record.first_time == record.last_time <= written.recorded_time
    assert (written.position, written.server_id) == (1, "server-1")


async def test_denials_that_are_alike_are_one_record_with_a_count(office: Office) -> None:
    async with writing(office):
        deny(office.log)
        await until(lambda: _holds(office, 1), what="the first one is written at once")
        await until(lambda: _all_written(office), what="the log knows that it is")
        for transaction in range(500):
            deny(office.log, replace(GAME, player_id=f"p{transaction}", transaction_id=f"t{transaction}"))
        assert office.log.unwritten() == 500

        office.clock.now_s += WINDOW_S
        await until(lambda: _holds(office, 2), what="those that followed are written together")
        await until(lambda: _all_written(office), what="the log knows that they are")

    first, rest = [written.record for written in await office.records()]
    assert (first.count, rest.count) == (1, 500)
    assert first.last_time <= rest.first_time < rest.last_time


async def test_a_flood_that_is_not_alike_is_counted(office: Office) -> None:
    for number in range(10_000):
        deny(office.log, replace(GAME, source_id=f"s{number}"))
    gauge = "stakehold_access_records_unwritten"
    assert office.registry.get_sample_value(gauge) == pytest.approx(10_000)
    await office.flush()
    assert office.registry.get_sample_value(gauge) == pytest.approx(0)

    records = [written.record for written in await office.records()]
    by_kind = Counter(record.kind for record in records)
    assert by_kind == {AccessKind.DENIED: MOST_OF_A_CALLER, AccessKind.UNLISTED: 1}
    assert sum(record.count for record in records) == 10_000
    [unlisted] = [record for record in records if record.kind is AccessKind.UNLISTED]
    assert (unlisted.caller, unlisted.reason) == ("games", "SOURCE_NOT_PERMITTED")
    assert office.registry.get_sample_value(
        "stakehold_denied_calls_total", {"reason": "SOURCE_NOT_PERMITTED"}
    ) == pytest.approx(10_000)


async def test_a_flood_of_one_hides_no_denial_of_another_one(office: Office) -> None:
    for number in range(5000):
        deny(office.log, replace(GAME, source_id=f"s{number}"))
    deny(office.log, replace(GAME, caller="cashier"))
    await office.flush()

    [other] = await office.records(AccessFilter(caller="cashier"))
    assert other.record.kind is AccessKind.DENIED


async def test_a_flood_from_everywhere_takes_no_more_than_so_much_memory(office: Office) -> None:
    nobody = Visit(DEBIT, "")
    for number in range(20_000):
        deny(office.log, replace(nobody, peer=f"10.1.{number // 256}.{number % 256}"))

    assert office.log.unwritten() == 20_000
    await office.flush()

    records = [written.record for written in await office.records()]
    assert sum(record.count for record in records) == 20_000
    assert len(records) <= MOST_DENIALS + 300


async def test_what_is_denied_while_the_database_is_away_is_written_later_and_once(office: Office) -> None:
    async with office.head_held():
        deny(office.log)
        with pytest.raises(LedgerUnavailable):
            await office.log._write(0.0, deadline=asyncio.get_running_loop().time() + 0.1)
        for _ in range(99):
            deny(office.log)
        assert office.log.unwritten() == 100

    await office.flush()

    assert sum(written.record.count for written in await office.records()) == 100
    assert office.log.unwritten() == 0


class _Impatient(AccessTable):
    """Its answers are lost: what is written is said to be not."""

    def __init__(self, table: AccessTable) -> None:
        self._table = table
        self.lost = 2

    async def write(self, records: "list[AccessRecord]", *, deadline: float) -> None:  # type: ignore[override]
        await self._table.write(records, deadline=deadline)
        if self.lost:
            self.lost -= 1
            raise LedgerUnavailable("the answer was lost")


async def test_what_was_written_and_is_not_known_to_be_is_not_written_again(office: Office) -> None:
    deaf = AccessLog(_Impatient(office.table), AccessMetrics(CollectorRegistry()), now_s=office.clock)
    for _ in range(3):
        deny(deaf)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            await deaf._write(0.0, deadline=soon())

    await deaf.flush(timeout_s=TIMEOUT_S)

    [written] = await office.records()
    assert written.record.count == 3


async def test_a_record_that_the_database_refuses_takes_no_others_with_it(office: Office) -> None:
    impossible = office.log.opening(GAME, details={}, why="")
    for number in range(3):
        deny(office.log, replace(GAME, source_id=f"s{number}"))
        office.log.end(replace(impossible, count=-1), code="OK", reason="")
    deny(office.log, replace(GAME, source_id="last"))

    await office.flush()

    assert [written.record.source_id for written in await office.records()] == ["s0", "s1", "s2", "last"]
    assert office.log.unwritten() == 0


async def test_an_administrative_call_is_not_begun_without_its_record(office: Office) -> None:
    opening = office.log.opening(GAME, details={"status": "CLOSED"}, why="fraud")

    async with office.head_held():
        with pytest.raises(LedgerUnavailable):
            await office.log.begin(opening, deadline=asyncio.get_running_loop().time() + 0.1)
        office.log.end(opening, code="UNAVAILABLE", reason="LEDGER_UNAVAILABLE")
    await office.flush()

    [ended] = await office.records()
    assert (ended.record.kind, ended.record.reason) == (AccessKind.ENDED, "LEDGER_UNAVAILABLE")


async def test_what_begins_and_what_ends_have_one_call_id(office: Office) -> None:
    opening = office.log.opening(GAME, details={"status": "CLOSED"}, why="fraud")
    await office.log.begin(opening, deadline=soon())
    [begun] = await office.records()

    office.log.end(opening, code="OK", reason="")
    await office.flush()

    _, ended = await office.records(AccessFilter(call_id=opening.call_id))
    assert (begun.record.kind, ended.record.kind) == (AccessKind.BEGUN, AccessKind.ENDED)
    assert begun.record.details == ended.record.details == {"status": "CLOSED"}
    assert (begun.record.why, ended.record.code) == ("fraud", "OK")


async def test_text_that_a_database_does_not_take_stops_nothing(office: Office) -> None:
    opening = office.log.opening(GAME, details={"note": "a\x00b"}, why="\x00" * 5)
    await office.log.begin(opening, deadline=soon())

    [begun] = await office.records()
    assert begun.record.details == {"note": "a\\0b"}


async def test_records_are_found_by_what_they_are_about(office: Office) -> None:
    deny(office.log)
    deny(office.log, replace(GAME, caller="other", player_id="p2", source_id="x"))
    await office.flush()

    async def found(wanted: AccessFilter) -> list[str]:
        return [written.record.caller for written in await office.records(wanted)]

    assert await found(AccessFilter(caller="other")) == ["other"]
    assert await found(AccessFilter(player_id="p1")) == ["games"]
    assert await found(AccessFilter(method="/other")) == []
    assert await found(AccessFilter(kinds=(AccessKind.BEGUN,))) == []
    assert await found(AccessFilter(code="PERMISSION_DENIED")) == ["games", "other"]
    assert await found(AccessFilter(start=datetime(2100, 1, 1, tzinfo=UTC))) == []
    assert await found(AccessFilter(end=datetime(2100, 1, 1, tzinfo=UTC))) == ["games", "other"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.access_log SET why = ''",
        "DELETE FROM ledger.access_log",
        "TRUNCATE ledger.access_log",
    ],
)
async def test_not_even_the_owner_rewrites_the_log(office: Office, statement: str) -> None:
    deny(office.log)
    await office.flush()

    async with office.as_superuser() as connection:
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await connection.execute(statement)


async def test_who_writes_the_log_can_do_nothing_else_to_it(office: Office) -> None:
    async with recorder_pool(office.dsn) as pool:
        for statement in (
            "UPDATE ledger.access_log SET why = ''",
            "DELETE FROM ledger.access_log",
            "UPDATE ledger.access_head SET position = 0",
            "SELECT FROM ledger.entries",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)


async def test_a_writer_cannot_choose_a_records_place_or_hash(office: Office) -> None:
    deny(office.log)
    await office.flush()
    async with recorder_pool(office.dsn) as pool:
        await pool.execute(
            """
            INSERT INTO ledger.access_log
            SELECT (jsonb_populate_record(access_log, jsonb_build_object(
                'position', 77,
                'record_id', $1::text,
                'hash', '\\x00',
                'recorded_time', '2000-01-01T00:00:00Z'
            ))).*
            FROM ledger.access_log
            """,
            str(uuid4()),
        )

    _, second = await office.records()
    assert second.position == 2
    assert second.recorded_time.year > 2000
    assert await office.findings() == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE ledger.access_log SET why = 'nothing' WHERE position = 2", "record 2 of the access log"),
        ("UPDATE ledger.access_log SET caller = 'x' WHERE position = 3", "record 3 of the access log"),
        ("DELETE FROM ledger.access_log WHERE position = 2", "records 1 and 3, and none in between"),
        ("DELETE FROM ledger.access_log WHERE position = 1", "records 0 and 2, and none in between"),
        ("DELETE FROM ledger.access_log WHERE position = 3", "ends with record 2, its head is at 3"),
        ("DELETE FROM ledger.access_log", "ends with record 0, its head is at 3"),
    ],
)
async def test_an_audit_finds_what_was_tampered_with(office: Office, statement: str, found: str) -> None:
    for number in range(3):
        deny(office.log, replace(GAME, source_id=f"s{number}"))
    await office.flush()
    assert await office.findings() == []

    async with office.as_superuser() as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement)

    findings = await office.findings()
    assert any(found in finding.description for finding in findings), findings


async def test_many_servers_write_one_chain(office: Office) -> None:
    async with recorder_pool(office.dsn) as first, recorder_pool(office.dsn) as second:
        logs = [
            AccessLog(AccessTable(pool, server_id=name), AccessMetrics(CollectorRegistry()), now_s=Clock())
            for name, pool in (("one", first), ("two", second))
        ]
        await asyncio.gather(
            *(
                log.begin(log.opening(GAME, details={}, why=""), deadline=soon())
                for log in logs
                for _ in range(20)
            )
        )

    assert [written.position for written in await office.records()] == list(range(1, 41))
    assert await office.findings() == []


async def _holds(office: Office, count: int) -> bool:
    return len(await office.records()) >= count


async def _all_written(office: Office) -> bool:
    return office.log.unwritten() == 0

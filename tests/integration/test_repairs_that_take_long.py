"""Repairs of partitions that have more to keep than any timeout allows for.

Postgres ends sessions that take partitions over and freeze. The tests wait until it has ended an idle one
that was opened when the long step began: a session that did nothing meanwhile is ended by then, too.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from persistence import adoption as adopting
from persistence.adoption import adopt_partitions, adoption
from persistence.drain_batch import RawRecord
from persistence.errors import LedgerUnavailable, SetupRefused
from persistence.postgres import adopting as ledgers_side
from persistence.postgres import repairs
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import LedgerRole, RecordRefused, ledger_connection
from persistence.postgres.repairs import RepairList
from persistence.restored_ledger import RestoredLedger
from persistence.salvage import Salvage
from service.embedded import EmbeddedValkey
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S
from tests.ledgers import Ledgers
from tests.repairs import PARTITION, PLAYER, bet, repaired_evening
from tests.two_ledgers import before_the_loss, require_all_back, two_ledgers
from tests.waiting import until

IDLE = "3s"
IDLE_SESSIONS_END = {"idle_session_timeout": IDLE, "idle_in_transaction_session_timeout": "5s"}
STAY_EVERY_S = 0.2


@pytest.fixture(autouse=True)
def impatient_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopting, "_SETTINGS", IDLE_SESSIONS_END)
    monkeypatch.setattr(ledgers_side, "STAY_EVERY_S", STAY_EVERY_S)


async def idle_sessions_are_ended(dsn: str) -> None:
    idle = await asyncpg.connect(dsn, server_settings={"idle_session_timeout": IDLE})

    async def is_ended() -> bool:
        return idle.is_closed()

    await until(is_ended, what="Postgres has ended an idle session")


def slow(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, dsn: str) -> None:
    """What is said there takes longer than a session may be idle."""
    really = getattr(owner, name)

    async def taking_long(*words: object, **named: object) -> object:
        await idle_sessions_are_ended(dsn)
        return await really(*words, **named)

    monkeypatch.setattr(owner, name, taking_long)


@pytest.mark.parametrize(
    ("owner", "name"), [(RestoredLedger, "_players_by_partition"), (RepairList, "salvage")]
)
async def test_a_restored_ledger_is_followed_however_much_there_is_to_keep(
    ledgers: Ledgers, store_url: str, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    async with two_ledgers(ledgers, store_url, random.Random(5), calls=20) as found:
        answers, had = await before_the_loss(found)
        with monkeypatch.context() as patched:
            slow(patched, owner, name, found.older)

            assert len(await found.follow()) == 1

        await require_all_back(found, answers, had)


async def test_an_outbox_is_cut_off_however_much_stands_there(
    valkey: EmbeddedValkey, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with repaired_evening(valkey, ledger_dsn) as evening:
        await evening.wallets.move(PLAYER, bet("b1", 10))
        with monkeypatch.context() as patched:
            slow(patched, RepairList, "salvage", ledger_dsn)
            postgres_url, valkey_url = evening.wallets.ledger_dsn, evening.wallets.valkey_url
            async with adoption(postgres_url=postgres_url, valkey_url=valkey_url) as taking_over:
                await Salvage(postgres_url, valkey_url, taking_over).cut_off(PARTITION, dry_run=False)
                # As the command does: it is needed for the next step, too.
                (await taking_over.adopt_all()).require_all()

        await evening.repair()

        assert await evening.cash() == 90


@asynccontextmanager
async def kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["asyncio.Queue[str]"]:
    """Whoever keeps records does not come to its end; told is when it began, and how it ended."""
    told = asyncio.Queue[str]()

    async def keep(*_: object, **__: object) -> None:
        told.put_nowait("begun")
        try:
            await asyncio.Event().wait()
        finally:
            told.put_nowait("ended")

    with monkeypatch.context() as patched:
        patched.setattr(RepairList, "salvage", keep)
        yield told


async def test_who_may_take_over_no_more_stops_at_once_and_may_say_it_again(
    ledgers: Ledgers, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_ledgers(ledgers, store_url, random.Random(6), calls=20) as found:
        answers, had = await before_the_loss(found)
        async with kept_for_ever(monkeypatch) as told:
            following = asyncio.create_task(found.follow())
            assert await told.get() == "begun"
            connection = await asyncpg.connect(found.older)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            await connection.close()

            with pytest.raises(LedgerUnavailable):
                await following

            assert await told.get() == "ended"
        await found.follow()
        await require_all_back(found, answers, had)


async def test_a_program_that_freezes_gives_back_what_it_took(
    ledgers: Ledgers, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        two_ledgers(ledgers, store_url, random.Random(6), calls=20) as found,
        kept_for_ever(monkeypatch) as told,
        ledger_connection(found.older, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S) as connection,
    ):
        # As if it was frozen: it does not even say that it is there.
        monkeypatch.setattr(ledgers_side, "STAY_EVERY_S", TIMEOUT_S)
        following = asyncio.create_task(found.follow())
        assert await told.get() == "begun"

        async def may_be_taken_over() -> bool:
            async with AdoptingLedger(connection).alone(PARTITION) as is_alone:
                return is_alone

        await until(may_be_taken_over, what="the frozen program has it no more")
        following.cancel()
        with pytest.raises((LedgerUnavailable, asyncio.CancelledError)):
            await following


async def test_what_is_kept_is_kept_in_slices_and_once(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "SALVAGED_AT_ONCE", 2)
    records = [RawRecord(f"3-{number}", [b"some", b"field"]) for number in range(5)]
    nowhere = RawRecord(f"3-{2**63}", [])
    async with ledger_connection(
        ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S
    ) as connection:

        async def keep(some: list[RawRecord]) -> list[int]:
            with suppress(RecordRefused):
                await RepairList(connection).salvage(PARTITION, some, incarnation="i", reason="why")
            rows = await connection.fetch("SELECT sequence FROM ledger.salvaged ORDER BY salvaged_id")
            return [row["sequence"] for row in rows]

        assert await keep([*records[:3], nowhere]) == [0, 1]
        assert await keep(records) == [0, 1, 2, 3, 4]


async def test_an_epoch_follows_what_was_drained_while_much_was_kept(
    ledgers: Ledgers, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that began before the cursor no drainer could ever reach."""
    salvage = RepairList.salvage

    async def drained_meanwhile(*words: object, **named: object) -> None:
        connection = await asyncpg.connect(found.older)
        await connection.execute(
            "UPDATE ledger.partitions SET cursor_sequence = cursor_sequence + 1 WHERE partition = $1",
            PARTITION,
        )
        await connection.close()
        await salvage(*words, **named)  # type: ignore[arg-type]

    async with two_ledgers(ledgers, store_url, random.Random(8), calls=20) as found:
        monkeypatch.setattr(RepairList, "salvage", drained_meanwhile)

        await found.follow()

        connection = await asyncpg.connect(found.older)
        follows_cursor = await connection.fetchval(
            "SELECT (cursor_epoch, cursor_sequence) = (follows_epoch, follows_sequence) "
            "FROM ledger.partitions JOIN ledger.epochs USING (partition, epoch) WHERE partition = $1",
            PARTITION,
        )
        await connection.close()
        assert follows_cursor


async def test_a_partition_that_somebody_repairs_holds_up_no_other(
    ledgers: Ledgers, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers_side, "ALONE_WITHIN_S", 0.1)
    async with two_ledgers(ledgers, store_url, random.Random(9), calls=20) as found:
        answers, had = await before_the_loss(found)
        async with (
            ledger_connection(found.older, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S) as other,
            AdoptingLedger(other).alone(PARTITION) as is_alone,
        ):
            assert is_alone
            adopted = await adopt_partitions(postgres_url=found.older, valkey_url=store_url)
            with pytest.raises(SetupRefused, match="somebody else"):
                await found.follow()

        assert adopted.passing == adopted.fenced.keys() == {PARTITION}
        assert len(adopted.witnesses) == PARTITION_COUNT - 1
        await found.follow()
        await require_all_back(found, answers, had)

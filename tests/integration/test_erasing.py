"""A player's personal data go, and money, ids and chain stay as they were."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from click.testing import CliRunner
from redis.asyncio import Redis

from persistence.audit.audit import Audit
from persistence.audit.findings import Finding
from persistence.export.exporting import Stretch, exporter
from persistence.export.manifest import read_public_key
from persistence.export.verifying import Verified, verify_folder
from persistence.hash_chain import MetadataSeal
from persistence.transactions import PlayerId, TransactionKind, WalletStatus, partition_of
from service.cli import main
from service.conversions.commands import without_metadata
from service.embedded import EmbeddedValkey
from service.embedded.binaries import postgres_server
from service.embedded.ports import LOOPBACK
from stakehold.v1 import command_pb2, money_pb2, wallet_service_pb2
from stakehold.v1.wallet_service_pb2 import TransactionContext
from tests.books import tamper
from tests.drained_ledger import EUR, PARTITION_COUNT, Wallets, movement, rollback, wallets
from tests.export_desk import keys
from tests.ledgers import Ledgers

DATABASE = 12
ANNA, BOB = PlayerId("p-4711"), PlayerId("p-4712")
PERSONAL = "Anna Muster, Musterweg 7"
OTHERS = "Bob keeps his"
DEPOSIT, BET = TransactionKind.DEPOSIT, TransactionKind.BET


@dataclass(frozen=True, slots=True)
class House:
    """Wallets, and who erases."""

    money: Wallets
    store_url: str
    sql: asyncpg.Connection

    async def run(self, *words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, main, words)
        return done.exit_code, done.output

    async def erase(self, *more: str) -> tuple[int, str]:
        return await self.run("erase", ANNA, "--by", "dpo", "--reason", "request 12", *more)

    async def findings(self) -> list[Finding]:
        audit = Audit(self.money.ledger_dsn, valkey_url=self.store_url)
        return [event async for event in audit.run() if isinstance(event, Finding)]

    async def rows(self) -> list[asyncpg.Record]:
        """All that stands of entries, but what may be erased; postings and balances."""
        entries = await self.sql.fetch(
            "SELECT to_jsonb(entries) - '{metadata,metadata_salt,erasure_id,erased_hash}'::text[] "
            "FROM ledger.entries ORDER BY partition, chain_position"
        )
        postings = await self.sql.fetch("SELECT * FROM ledger.postings ORDER BY 1, 2, 3, 4, 5")
        return [*entries, *postings, *await self.sql.fetch("SELECT * FROM ledger.balances ORDER BY 1")]

    def dumped(self) -> str:
        return subprocess.run(
            [postgres_server().path.with_name("pg_dump"), f"--dbname={self.money.ledger_dsn}"],
            capture_output=True,
            text=True,
            timeout=60.0,
            check=True,
        ).stdout

    async def kept_in_store(self) -> str:
        async with Redis.from_url(self.store_url, decode_responses=True) as store:
            texts = []
            for key in await store.keys("*"):
                kind = await store.type(key)
                if kind == "hash":
                    texts.append(str(await store.hgetall(key)))
                elif kind == "stream":
                    texts.append(str(await store.xrange(key)))
                texts.append(str(key))
            return "\n".join(texts)


@pytest_asyncio.fixture
async def house(
    ledgers: Ledgers, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    async with ledgers.fresh() as dsn, Redis.from_url(url) as store, wallets(url, dsn) as money:
        monkeypatch.setenv("STAKEHOLD_POSTGRES_URL", dsn)
        monkeypatch.setenv("STAKEHOLD_VALKEY_URL", url)
        sql = await asyncpg.connect(dsn)
        yield House(money, url, sql)
        await sql.close()
        await store.flushdb()


def told(note: str) -> str:
    return json.dumps({"note": note})


async def play(house: House, *, more: str = "") -> None:
    money = house.money
    for player, note in ((ANNA, PERSONAL), (BOB, OTHERS)):
        await money.move(player, movement(DEPOSIT, f"d{more}", 1_000, metadata=told(note)), source="cashier")
        await money.move(player, movement(BET, f"b{more}", 100, metadata=told(note)))
        await money.move(player, rollback(f"r{more}", f"b{more}"))
    await money.drain()


async def some_life(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of before metadata were sealed, entries of today, and texts in all other places."""
    await house.money.open(ANNA)
    await house.money.open(BOB)
    with monkeypatch.context() as before:
        before.setattr(MetadataSeal, "new", lambda metadata: None)
        await play(house)
    await play(house, more="-sealed")
    await house.money.set_status(ANNA, WalletStatus.DEBITS_FROZEN)
    await house.money.set_status(ANNA, WalletStatus.ACTIVE)
    await house.money.drain()
    partition = partition_of(ANNA, PARTITION_COUNT)
    context = TransactionContext(metadata={"note": PERSONAL})
    amount = money_pb2.Money(currency_code="EUR", amount="1.00")
    debit = wallet_service_pb2.DebitRequest(player_id=ANNA, amount=amount, context=context)
    command = command_pb2.Command(debit=debit).SerializeToString()
    number = await house.sql.fetchval(
        """
        WITH submitted AS (
            INSERT INTO inbox.commands (
                submission_number, command_index, partition, player_id, transaction_id, command, state,
                attempts, last_attempt_time, result
            ) VALUES (1, 0, $1, $2, 't', $3, 'applied', 1, now(), '')
        ), noted AS (
            INSERT INTO ledger.reviews (
                review_key, kind, partition, player_id, source_id, transaction_id, action_transaction_id,
                entry_id, game_id, round_id, description, resolved_time, resolved_by, note
            ) VALUES ('k', 'bet_swept', $1, $2, 's', 't', '', '', '', '', '', now(), 'eve', $4)
        ), called AS (
            INSERT INTO providers.callbacks (
                provider_id, method, path, body_digest, body, headers, peer, key_id, request_id, player_id,
                transaction_id, received_time
            ) VALUES ('p', 'POST', '/', sha256('x'), convert_to($4, 'UTF8'), '{}', '', '', '', $2, '', now())
        ), salvaged AS (
            INSERT INTO ledger.salvaged (
                partition, epoch, sequence, incarnation, fields, reason, restored_time
            ) VALUES ($1, 1, 1, 'x', $5, 'r', now())
        )
        INSERT INTO cashier.cases (
            kind, source_id, case_id, player_id, partition, currency, amount, is_debit, state, accepted,
            opened_by, reason, address
        ) VALUES ('deposit', 's', 'c', $2, $1, 'EUR', 5, false, 'failed', '{}', 'eve', $4, $4)
        RETURNING case_number
        """,
        partition,
        ANNA,
        command,
        PERSONAL,
        [part.encode() for part in ("format", "1", "time", "1", "player", ANNA, "entry", PERSONAL)],
    )
    await house.sql.execute(
        """
        INSERT INTO cashier.messages (
            case_number, message, told_by, is_accepted, state_before, state_after, details
        ) VALUES ($1, 'fail', 'eve', true, 'created', 'failed', $2)
        """,
        number,
        told(PERSONAL),
    )


async def test_nothing_of_the_person_is_left_and_all_of_the_money_is(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_life(house, monkeypatch)
    assert PERSONAL in house.dumped()
    before, is_sound = await house.rows(), await house.findings()
    assert is_sound == []

    status, said = await house.erase("--dry-run")
    assert (status, "would be erased" in said, PERSONAL in house.dumped()) == (0, True, True), said
    status, said = await house.erase()

    assert status == 0, said
    assert "6 entries" in said
    assert "The hashes of 2 entries cover what were erased" in said
    dumped = house.dumped()
    assert "Anna" not in dumped
    assert "Muster" not in dumped
    assert "by a test" not in dumped
    assert dumped.count(OTHERS) == 4
    assert "Muster" not in await house.kept_in_store()
    assert await house.rows() == before
    assert await house.findings() == []
    recorded = await house.sql.fetch("SELECT player_id, erased_by, reason, entry_count FROM ledger.erasures")
    assert [tuple(row) for row in recorded] == [(ANNA, "dpo", "request 12", 6)]

    deposit = movement(DEPOSIT, "d-sealed", 1_000, metadata=told("another note"))
    [again] = await house.money.move(ANNA, deposit, source="cashier")
    assert again.replayed
    await house.money.move(ANNA, movement(BET, "next", 50))
    await house.money.drain()
    assert await house.findings() == []
    status, said = await house.erase()
    assert (status, "nothing were erased" in said) == (0, True), said
    assert await house.sql.fetchval("SELECT count(*) FROM ledger.erasures") == 1
    await require_exports_to_verify(house, tmp_path)


async def require_exports_to_verify(house: House, folder: Path) -> None:
    key, _, public = keys(folder, "export")
    out = folder / "out"
    out.mkdir()
    async with exporter(house.money.ledger_dsn, out, key) as opened:
        manifests = [
            await opened.export(Stretch(partition, 0, end), compressed=False, with_metadata=True)
            for partition, end in (await opened.ends()).items()
            if end
        ]
    verified = Verified()
    assert list(verify_folder(out, read_public_key(public), verified)) == []
    assert verified.erased_count == 2
    assert not any("Muster" in (out / manifest.file).read_text() for manifest in manifests)


async def test_what_is_changed_after_an_erasure_is_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_life(house, monkeypatch)
    assert (await house.erase())[0] == 0
    for old_or_new in ("b", "b-sealed"):
        of_hers = f"WHERE player_id = '{ANNA}' AND transaction_id = '{old_or_new}'"
        await tamper(house.money.ledger_dsn, f"UPDATE ledger.entries SET game_id = 'other' {of_hers}")
        assert "chain_broken" in {finding.kind for finding in await house.findings()}
        await tamper(house.money.ledger_dsn, f"UPDATE ledger.entries SET game_id = NULL {of_hers}")
        assert await house.findings() == []

    of_his = f"WHERE player_id = '{BOB}' AND transaction_id = 'b-sealed'"
    await tamper(
        house.money.ledger_dsn, f"UPDATE ledger.entries SET metadata = '{{}}', metadata_salt = NULL {of_his}"
    )

    [finding] = await house.findings()
    assert "no erasure says so" in finding.description


@pytest.mark.parametrize(
    "change",
    [
        "cash_change = 5",
        "metadata = '{}'",
        "metadata = '{}', metadata_salt = NULL, erasure_id = 1",
        'metadata = \'{"note": "other"}\', metadata_salt = NULL, erasure_id = $1',
        "metadata = '{}', metadata_salt = NULL, erasure_id = $1, player_id = 'x'",
        "metadata = '{}', metadata_salt = NULL, metadata_digest = NULL, erasure_id = $1",
    ],
)
async def test_not_even_the_owner_changes_more_than_an_erasure_does(
    house: House, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    await some_life(house, monkeypatch)
    number = await house.sql.fetchval(
        "INSERT INTO ledger.erasures (player_id, erased_by, reason, entry_count) VALUES ($1, 'a', 'b', 1) "
        "RETURNING erasure_id",
        BOB,
    )
    statement = (
        f"UPDATE ledger.entries SET {change.replace('$1', str(number))} "
        f"WHERE player_id = '{ANNA}' AND transaction_id = 'b-sealed'"
    )

    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await house.sql.execute(statement)


async def test_nothing_is_erased_while_something_is_open(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_life(house, monkeypatch)
    await house.sql.execute("UPDATE cashier.cases SET state = 'created'")
    status, said = await house.erase()
    assert (status, "1 cases of the cashier have not ended" in said) == (2, True), said
    await house.sql.execute("UPDATE cashier.cases SET state = 'failed'")
    await house.money.move(ANNA, movement(BET, "under way", 1, EUR, metadata=told(PERSONAL)))

    status, said = await house.erase()

    assert (status, "drain first" in said) == (2, True), said
    assert PERSONAL in house.dumped()


def test_a_command_loses_its_metadata_and_nothing_else() -> None:
    amount = money_pb2.Money(currency_code="EUR", amount="1.00")
    bare = wallet_service_pb2.DebitRequest(player_id="p", amount=amount, context=TransactionContext())
    noted = wallet_service_pb2.DebitRequest(
        player_id="p", amount=amount, context=TransactionContext(metadata={"note": PERSONAL})
    )

    stripped = without_metadata(command_pb2.Command(debit=noted).SerializeToString())

    assert command_pb2.Command.FromString(stripped).debit == bare
    untouched = command_pb2.Command(debit=bare).SerializeToString()
    assert without_metadata(untouched) == untouched

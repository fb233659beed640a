"""A ledger is compared with files that were exported from it, whatever erasure is pretended for since."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from persistence.audit.entry_walk import UnreadableEntry, walk
from persistence.hash_chain import MetadataSeal, hash_of_erased
from persistence.postgres.queries import query
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.books import tamper
from tests.evening_ledger import ANNA
from tests.export_desk import HERS, Desk, a_desk, some_play
from tests.ledgers import Ledgers
from tests.other_history import replace_the_last_entry

DATABASE = 11


@pytest_asyncio.fixture
async def desk(
    ledgers: Ledgers, valkey: EmbeddedValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    monkeypatch.setenv("STAKEHOLD_VALKEY_URL", f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}")
    async with a_desk(ledgers, valkey, tmp_path, database=DATABASE) as opened:
        yield opened


async def verify(desk: Desk, *words: str | Path) -> tuple[int, str]:
    return await asyncio.to_thread(desk.says, "verify", "--ledger-only", *words)


def against(desk: Desk) -> tuple[str | Path, ...]:
    return ("--against-export", desk.folder, "--public-key", desk.public)


async def pretend_an_erasure(dsn: str, transaction_id: str, *, erasure_id: int) -> int:
    """As rewrite_as_erased, of an entry that was not erased."""
    place = await rewrite_as_erased(dsn, transaction_id, erasure_id=erasure_id)
    await tamper(
        dsn, f"UPDATE ledger.erasures SET entry_count = entry_count + 1 WHERE erasure_id = {erasure_id}"
    )
    return place


async def rewrite_as_erased(dsn: str, transaction_id: str, *, erasure_id: int) -> int:
    """Moves an entry to another game, as if it had lost nothing but metadata. Gives its place."""
    sql = await asyncpg.connect(dsn)
    place = await sql.fetchval(
        "SELECT chain_position FROM ledger.entries WHERE transaction_id = $1 AND partition = $2",
        transaction_id,
        HERS,
    )
    async with sql.transaction():
        [[stored]] = [
            batch async for batch in walk(sql, query("export_chain"), HERS, place, place + 1, batch_size=1)
        ]
    await sql.close()
    assert not isinstance(stored, UnreadableEntry)
    chained = replace(stored.chained, entry=replace(stored.chained.entry, game="another"), seal=None)
    made = hash_of_erased(stored.previous_hash, chained, stored.legs)
    await tamper(
        dsn,
        "UPDATE ledger.entries SET game_id = 'another', metadata = '{}', metadata_salt = NULL, "
        f"metadata_digest = NULL, erasure_id = {erasure_id}, erased_hash = '\\x{made.hex()}' "
        f"WHERE partition = {HERS} AND chain_position = {place}",
    )
    return int(place)


async def test_an_export_from_before_an_erasure_proves_all_but_what_was_erased(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(MetadataSeal, "new", lambda metadata: None)
        await some_play(desk)
    await desk.export()
    status, output = await asyncio.to_thread(desk.says, "erase", ANNA, "--by", "dpo", "--reason", "12")
    assert status == 0, output
    dsn = desk.money.ledger_dsn
    sql = await asyncpg.connect(dsn)
    [(erasure_id, count)] = await sql.fetch(
        "SELECT erasure_id, count(*) FROM ledger.entries WHERE erased_hash IS NOT NULL GROUP BY 1"
    )
    await sql.close()
    status, output = await verify(desk, *against(desk))
    assert (status, f"Erasure {erasure_id}: the hashes of {count} entries" in output) == (0, True), output
    assert "Compared with the exported files: the same" in output

    place = await pretend_an_erasure(dsn, "w1", erasure_id=erasure_id)

    status, output = await verify(desk)
    assert (status, f"Erasure {erasure_id}: the hashes of {count + 1} entries" in output) == (0, True), output
    status, output = await verify(desk, *against(desk))
    said = f"partition {HERS}, chain position {place}: more than its metadata"
    assert (status, said in output) == (1, True), output
    status, output = await verify(desk, *against(desk), "--format", "json")
    told = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert {"unprovable": {"erasure_id": erasure_id, "entry_count": count + 1}} in told
    assert [one["export_finding"]["position"] for one in told if "export_finding" in one] == [place]


async def test_an_export_from_after_an_erasure_proves_what_was_left(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(MetadataSeal, "new", lambda metadata: None)
        await some_play(desk)
    assert (await asyncio.to_thread(desk.says, "erase", ANNA, "--by", "dpo", "--reason", "12"))[0] == 0
    await desk.export()
    assert (await verify(desk, *against(desk)))[0] == 0

    place = await rewrite_as_erased(desk.money.ledger_dsn, "noted", erasure_id=1)

    assert (await verify(desk))[0] == 0
    status, output = await verify(desk, *against(desk))
    said = f"partition {HERS}, chain position {place}: more than its metadata"
    assert (status, said in output) == (1, True), output


async def test_another_history_is_not_what_was_exported(desk: Desk) -> None:
    await some_play(desk)
    await desk.export()
    end = desk.hers().end
    await replace_the_last_entry(desk.money.ledger_dsn, HERS)

    status, output = await verify(desk, *against(desk))

    assert (status, f"chain position {end - 1}: the ledger has another entry there" in output) == (1, True)


async def test_a_folder_that_does_not_verify_is_compared_with_nothing(desk: Desk) -> None:
    await some_play(desk)
    await desk.export()
    file = desk.folder / desk.hers().file
    file.write_bytes(file.read_bytes()[:-9])

    status, output = await verify(desk, *against(desk))

    assert (status, "digest differs" in output) == (1, True), output
    assert (await verify(desk, "--against-export", desk.folder))[0] == 2

"""Finished months are on record as signed files, and what the ledger has too is taken away after a time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from persistence.errors import SetupRefused
from persistence.export import archiving
from persistence.export.archiving import Archived, Archiver, ArchiveUnsound, next_month
from persistence.export.exporting import Exporter, Stretch, exporter
from persistence.export.manifest import Manifest, manifest_path
from persistence.export.verifying import ExportFinding, Verified, verify_file, verify_folder
from persistence.postgres.database import LedgerRole, ledger_connection, ledger_pool
from persistence.pruning import Pruning
from persistence.transactions import TransactionKind
from service.cli import main
from service.embedded import EmbeddedValkey
from tests.books import audited
from tests.drained_ledger import movement
from tests.evening_ledger import ANNA
from tests.export_desk import HERS, Desk, a_desk, keys, some_play
from tests.ledgers import Ledgers
from tests.other_history import forget_archives, replace_the_last_entry

DATABASE = 13
DAY_S = 86_400.0


@pytest_asyncio.fixture
async def desk(ledgers: Ledgers, valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(ledgers, valkey, tmp_path, database=DATABASE) as opened:
        yield opened


SUBMISSION = """
    INSERT INTO inbox.submissions (
        submission_number, source_id, submission_id, digest, command_count, finished_time
    ) VALUES ($1, 's', $1::bigint::text, sha256('x'), 2, now() - $2::text::interval)
"""
COMMANDS = """
    INSERT INTO inbox.commands (
        submission_number, command_index, partition, player_id, transaction_id, command, state, result,
        attempts, last_attempt_time
    ) VALUES
        ($1, 0, 0, 'p', 't1', 'personal', 'applied', 'result', 1, now()),
        ($1, 1, 0, 'p', 't2', 'personal', 'dead', 'result', 1, now())
"""
SALVAGED = """
    INSERT INTO ledger.salvaged (partition, epoch, sequence, incarnation, fields, reason, restored_time)
    VALUES
        (0, 1, 1, 'x', '{raw}', 'r', now() - interval '100 days'),
        (0, 1, 2, 'x', '{raw}', 'r', NULL)
"""


def this_month() -> date:
    return datetime.now(UTC).date().replace(day=1)


async def archive(desk: Desk, before: date) -> list[Archived]:
    dsn = desk.money.ledger_dsn
    async with (
        exporter(dsn, desk.folder, desk.key) as opened,
        ledger_connection(dsn, role=LedgerRole.WRITER, statement_timeout_s=10.0) as ledger,
    ):
        return [one async for one in Archiver(opened, ledger, desk.folder, desk.key).archive(before)]


async def recorded(desk: Desk) -> list[tuple[int, int, int, date]]:
    sql = await asyncpg.connect(desk.money.ledger_dsn)
    rows = await sql.fetch(
        "SELECT partition, first_position, end_position, month FROM ledger.archives ORDER BY 1, 2"
    )
    await sql.close()
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def test_a_finished_month_is_archived_once_and_what_comes_late_is_in_the_next(desk: Desk) -> None:
    await some_play(desk)
    assert await archive(desk, this_month()) == []
    following = next_month(this_month())

    first = await archive(desk, following)

    assert {one.month for one in first} == {this_month()}
    assert {one.manifest.first for one in first} == {0}
    assert [row[:3] for row in await recorded(desk)] == [
        (one.manifest.partition, 0, one.manifest.end) for one in first
    ]
    await desk.money.move(ANNA, movement(TransactionKind.WIN, "late", 1))
    await desk.money.drain()
    assert await archive(desk, following) == []
    [late] = await archive(desk, next_month(following))
    [hers] = [one for one in first if one.manifest.partition == HERS]
    assert (late.month, late.manifest.first) == (following, hers.manifest.end)
    verified = Verified()
    assert list(verify_folder(desk.folder, desk.key.private.public_key(), verified)) == []
    assert desk.second_opinion().returncode == 0


async def test_an_archive_that_was_written_and_not_recorded_is_made_again(desk: Desk) -> None:
    await some_play(desk)
    async with exporter(desk.money.ledger_dsn, desk.folder, desk.key) as opened:
        await opened.export(Stretch(HERS, 0, (await opened.ends())[HERS]))
    assert await recorded(desk) == []

    archived = await archive(desk, next_month(this_month()))

    assert len(await recorded(desk)) == len(archived)
    assert desk.verify()[0] == []


async def test_what_was_written_and_not_recorded_is_recorded_as_it_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_play(desk)
    following = next_month(this_month())

    def killed(path: Path, public: Ed25519PublicKey, verified: Verified) -> Iterator[ExportFinding]:
        if f"-p{HERS:04}-" in path.name:
            raise KeyboardInterrupt
        return verify_file(path, public, verified)

    with monkeypatch.context() as broken:
        broken.setattr(archiving, "verify_file", killed)
        with pytest.raises(KeyboardInterrupt):
            await archive(desk, following)
    assert HERS not in {row[0] for row in await recorded(desk)}
    written = desk.hers()
    await desk.money.move(ANNA, movement(TransactionKind.WIN, "late", 1))
    await desk.money.drain()

    await archive(desk, following)

    assert desk.hers() == written
    assert (HERS, 0, written.end, this_month()) in await recorded(desk)
    [late] = await archive(desk, next_month(following))
    assert (late.manifest.partition, late.manifest.first) == (HERS, written.end)
    status, output = await asyncio.to_thread(desk.verifies, "--recorded")
    assert status == 0, output


async def test_months_are_not_archived_beside_those_of_another_history(desk: Desk) -> None:
    await some_play(desk)
    dsn, following = desk.money.ledger_dsn, next_month(this_month())
    await archive(desk, following)
    old = desk.hers()
    await forget_archives(dsn)
    await replace_the_last_entry(dsn, HERS)
    before = desk.content()

    with pytest.raises(SetupRefused, match=f"{old.file} .* of another history"):
        await archive(desk, following)

    assert desk.content() == before
    assert HERS not in {row[0] for row in await recorded(desk)}


async def test_a_file_that_reaches_beyond_a_month_is_no_archive_of_it(desk: Desk) -> None:
    await some_play(desk)
    await replace_the_last_entry(desk.money.ledger_dsn, HERS, later=timedelta(days=32))
    await desk.export()
    before = desk.content()

    with pytest.raises(SetupRefused, match="is no archive of a month"):
        await archive(desk, next_month(this_month()))

    assert desk.content() == before


async def test_what_is_on_record_is_compared_with_the_folder_and_the_chain(desk: Desk) -> None:
    await some_play(desk)
    await archive(desk, next_month(this_month()))
    dsn, manifest = desk.money.ledger_dsn, desk.hers()
    assert (await audited(dsn, None))[0] == []
    assert (await asyncio.to_thread(desk.verifies, "--recorded"))[0] == 0

    path = manifest_path(desk.folder / manifest.file)
    path.write_bytes(desk.key.sign(replace(manifest, created_time="2001-01-01T00:00:00+00:00")))

    assert desk.verify()[0] == []
    status, output = await asyncio.to_thread(desk.verifies, "--recorded")
    assert (status, f"{path.name}, partition {HERS}" in output) == (1, True), output
    assert "not the manifest that was put on record" in output
    path.unlink()
    (desk.folder / manifest.file).unlink()
    _, output = await asyncio.to_thread(desk.verifies, "--recorded")
    assert "it is on record as an archive, and missing" in output
    await replace_the_last_entry(dsn, HERS)
    findings, _ = await audited(dsn, None)
    [finding] = [finding for finding in findings if "archive" in finding.description]
    assert (finding.partition, f"archive {manifest.file} ends with" in finding.description) == (HERS, True)


async def test_what_does_not_verify_is_not_recorded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await some_play(desk)
    export = Exporter.export

    async def spoiled(self: Exporter, stretch: Stretch) -> Manifest:
        manifest = await export(self, stretch)
        file = desk.folder / manifest.file
        file.write_bytes(file.read_bytes()[:-9])
        return manifest

    monkeypatch.setattr(Exporter, "export", spoiled)

    with pytest.raises(ArchiveUnsound):
        await archive(desk, next_month(this_month()))
    assert await recorded(desk) == []


async def test_archives_stay_as_they_are_on_record(desk: Desk) -> None:
    await some_play(desk)
    await archive(desk, next_month(this_month()))
    sql = await asyncpg.connect(desk.money.ledger_dsn)
    for statement in ("UPDATE ledger.archives SET month = month", "DELETE FROM ledger.archives"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await sql.execute(statement)
    await sql.close()


def test_a_month_that_is_not_over_is_not_archived(ledger_dsn: str, tmp_path: Path) -> None:
    _, private, _ = keys(tmp_path, "archive")
    words = ["archive", "--out", str(tmp_path / "out"), "--key", str(private), "--before"]
    environment = {"STAKEHOLD_POSTGRES_URL": ledger_dsn}
    runner = CliRunner(env=environment)

    too_early = runner.invoke(main, [*words, f"{next_month(this_month()):%Y-%m}"])
    done = runner.invoke(main, [*words, f"{this_month():%Y-%m}"])

    assert (too_early.exit_code, "is not over" in too_early.output) == (2, True)
    assert (done.exit_code, done.output) == (0, "0 files archived.\n")


async def test_what_was_decided_long_ago_loses_its_contents_and_nothing_else(ledger_dsn: str) -> None:
    sql = await asyncpg.connect(ledger_dsn)
    for number, age in ((1, "100 days"), (2, "1 day")):
        await sql.execute(SUBMISSION, number, age)
        await sql.execute(COMMANDS, number)
    await sql.execute(SALVAGED)

    async with ledger_pool(ledger_dsn, role=LedgerRole.PRUNER, size=1, statement_timeout_s=10.0) as pool:
        pruning = Pruning(pool, older_than_s=90 * DAY_S)
        while await pruning.run_once():
            pass

    commands = await sql.fetch(
        "SELECT submission_number, transaction_id, command, result FROM inbox.commands ORDER BY 1, 2"
    )
    assert [tuple(row) for row in commands] == [
        (1, "t1", b"", b"result"),
        (1, "t2", b"personal", b"result"),
        (2, "t1", b"personal", b"result"),
        (2, "t2", b"personal", b"result"),
    ]
    raw = await sql.fetch("SELECT fields FROM ledger.salvaged ORDER BY sequence")
    assert [row["fields"] for row in raw] == [[], [b"raw"]]
    assert (pruning.counts.commands, pruning.counts.records) == (1, 1)
    await sql.close()

"""What is in a folder stays as it is, and is gone on from only where it is the ledger's own history."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from persistence.errors import SetupRefused
from persistence.export import writing
from persistence.export.exporting import exporter
from persistence.export.folder import held
from persistence.transactions import TransactionKind
from service.embedded import EmbeddedValkey
from tests.drained_ledger import movement
from tests.evening_ledger import ANNA
from tests.export_desk import HERS, Desk, a_desk, keys, some_play
from tests.ledgers import Ledgers
from tests.other_history import replace_the_last_entry, take_the_last_entry_away

DATABASE = 11


@pytest_asyncio.fixture
async def desk(ledgers: Ledgers, valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(ledgers, valkey, tmp_path, database=DATABASE) as opened:
        yield opened


async def more_play(desk: Desk, transaction_id: str) -> None:
    await desk.money.move(ANNA, movement(TransactionKind.WIN, transaction_id, 100))
    await desk.money.drain()


@pytest.mark.parametrize("is_longer", [True, False], ids=["gone on behind it", "not as far yet"])
async def test_nothing_is_added_to_a_folder_of_another_history(desk: Desk, *, is_longer: bool) -> None:
    await some_play(desk)
    await desk.export(end=2)
    await desk.export()
    end = desk.manifests(HERS)[-1].end
    if is_longer:
        await replace_the_last_entry(desk.money.ledger_dsn, HERS)
        await more_play(desk, "later")
    else:
        await take_the_last_entry_away(desk.money.ledger_dsn, HERS)
    before = desk.content()

    for words in ((), ("--from", str(end))):
        status, output = await asyncio.to_thread(desk.exports, *words)
        if is_longer or not words:
            assert (status, "another history" in output) == (2, True), output
            assert f"--partition {HERS} --from 2)" in output, output
        assert desk.content() == before

    fresh = desk.folder / "fresh"
    status, output = await asyncio.to_thread(
        desk.says, "export", "--all", "--from", "2", "--out", fresh, "--key", desk.private
    )
    assert (status, f"Partition {HERS}: " in output) == (0, True), output


async def test_a_folder_that_begins_later_is_gone_on_from_its_end(desk: Desk) -> None:
    await some_play(desk)
    assert (await asyncio.to_thread(desk.exports, "--from", "2"))[0] == 0
    await more_play(desk, "later")

    status, output = await asyncio.to_thread(desk.exports)

    assert status == 0, output
    first, second = desk.manifests(HERS)
    assert (first.first, second.first, second.previous_hash) == (2, first.end, first.last_hash)


async def test_nothing_is_added_to_what_another_key_signed(desk: Desk, tmp_path: Path) -> None:
    await some_play(desk)
    await desk.export(end=2)
    other, _, _ = keys(tmp_path, "other")
    before = desk.content()

    with pytest.raises(SetupRefused, match="export into a new folder"):
        async with exporter(desk.money.ledger_dsn, desk.folder, other):
            pass

    assert desk.content() == before


class Stopped(BaseException):
    """The program was killed."""


@pytest.mark.parametrize("step", [1, 2], ids=["before the file has its name", "before the manifest has"])
async def test_an_export_that_was_broken_off_leaves_nothing_behind_once_it_is_said_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    await some_play(desk)
    sync_folder, steps = writing.sync_folder, 0

    def killed(folder: Path) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise Stopped
        sync_folder(folder)

    with monkeypatch.context() as broken:
        broken.setattr(writing, "sync_folder", killed)
        with pytest.raises(Stopped):
            await desk.export()
    ledger_id = next(iter(desk.folder.glob("*.unfinished"))).name[1:37]
    (desk.folder / f".{ledger_id}-p{HERS:04}-000000000000-000000000009.jsonl.gz.unfinished").write_bytes(b"x")

    await more_play(desk, "later")
    await desk.export()

    assert [name for name in desk.content() if "unfinished" in name] == []
    assert desk.verify()[0] == []
    assert desk.second_opinion().returncode == 0


async def test_what_an_export_has_left_unfinished_is_no_finding(desk: Desk) -> None:
    await some_play(desk)
    await desk.export()
    file = desk.hers().file
    (desk.folder / f".{file}.unfinished").write_bytes(b"x")

    assert desk.verify()[0] == []


@pytest.mark.parametrize("beside", ["{stem}.jsonl", "{stem}.jsonl.bak", "{stem}.jsonl.gz.unfinished"])
async def test_a_file_beside_a_signed_one_is_found(desk: Desk, beside: str) -> None:
    await some_play(desk)
    await desk.export()
    name = beside.format(stem=desk.hers().file.removesuffix(".jsonl.gz"))
    (desk.folder / name).write_bytes(b"{}")

    [finding] = desk.verify()[0]

    assert (finding.file, finding.problem) == (name, "no manifest says what it is")


async def test_what_is_signed_is_never_written_over(desk: Desk) -> None:
    await some_play(desk)
    await desk.export()
    end = str(desk.hers().end)
    before = desk.content()

    said = [
        await asyncio.to_thread(desk.exports, *words)
        for words in (
            ("--from", "0"),
            ("--from", "0", "--plain"),
            ("--from", "1"),
            ("--from", "0", "--to", "2"),
        )
    ]

    assert [status for status, _ in said] == [0, 0, 2, 2], said
    assert "nothing is written over it" in said[2][1]
    assert desk.content() == before
    await more_play(desk, "later")
    assert (await asyncio.to_thread(desk.exports, "--from", end, "--plain"))[0] == 0
    assert desk.verify()[0] == []


async def test_a_file_of_the_same_stretch_that_does_not_verify_is_not_taken_for_it(desk: Desk) -> None:
    await some_play(desk)
    await desk.export()
    file = desk.folder / desk.hers().file
    file.write_bytes(file.read_bytes()[:-9])
    before = desk.content()

    status, output = await asyncio.to_thread(desk.exports, "--from", "0")

    assert (status, "does not verify" in output) == (2, True), output
    assert desk.content() == before


async def test_one_program_at_a_time_exports_to_a_folder(desk: Desk) -> None:
    await some_play(desk)
    with held(desk.folder):
        status, output = await asyncio.to_thread(desk.exports)
    assert (status, "somebody else exports to" in output) == (2, True), output

    assert (await asyncio.to_thread(desk.exports))[0] == 0

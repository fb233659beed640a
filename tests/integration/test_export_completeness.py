"""What was taken out of a folder of exported files is missed."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from persistence.export.manifest import SUFFIX, manifest_path
from service.embedded import EmbeddedValkey
from tests.export_desk import HERS, Desk, a_desk, some_play
from tests.ledgers import Ledgers

DATABASE = 11


@pytest_asyncio.fixture
async def desk(ledgers: Ledgers, valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(ledgers, valkey, tmp_path, database=DATABASE) as opened:
        yield opened


async def two_files_of_each(desk: Desk) -> None:
    await some_play(desk)
    for words in (("--to", "2"), ()):
        status, output = await asyncio.to_thread(desk.exports, *words)
        assert status == 0, output


def take_away(desk: Desk, file: str) -> None:
    (desk.folder / file).unlink()
    manifest_path(desk.folder / file).unlink()


async def test_verifying_says_what_there_is_of_each_partition(desk: Desk) -> None:
    await two_files_of_each(desk)
    _, last = desk.manifests(HERS)

    status, output = await asyncio.to_thread(desk.verifies, "--ledger", last.ledger_id)

    assert status == 0, output
    hers = f"partition {HERS}: chain positions 0 to {last.end - 1}, last hash {last.last_hash}."
    assert f"Ledger {last.ledger_id}, {hers}" in output
    assert f"{last.ledger_id} {HERS}: 0 to {last.end - 1}" in desk.second_opinion().stdout
    status, output = await asyncio.to_thread(desk.verifies, "--ledger", str(uuid.uuid4()))
    assert (status, f"files of ledger {last.ledger_id}" in output) == (1, True), output


async def test_a_beginning_that_was_taken_out_is_missed(desk: Desk) -> None:
    await two_files_of_each(desk)
    first, _ = desk.manifests(HERS)

    take_away(desk, first.file)

    status, output = await asyncio.to_thread(desk.verifies)
    assert (status, "what is before it is missing: it begins at 2" in output) == (1, True), output
    assert desk.second_opinion().returncode != 0
    status, output = await asyncio.to_thread(desk.verifies, "--from-the-middle")
    assert (status, f"partition {HERS}: chain positions 2 to" in output) == (0, True), output
    assert desk.second_opinion("--from-the-middle").returncode == 0


async def test_a_partition_that_was_taken_out_is_missed(desk: Desk) -> None:
    await two_files_of_each(desk)
    end = desk.manifests(HERS)[-1].end

    for manifest in desk.manifests(HERS):
        take_away(desk, manifest.file)

    for words in ((), ("--from-the-middle",)):
        status, output = await asyncio.to_thread(desk.verifies, *words)
        assert (status, f"files up to {end} are missing" in output) == (1, True), output
    assert desk.second_opinion().returncode != 0


async def test_manifests_from_before_they_told_of_others_verify(desk: Desk) -> None:
    await two_files_of_each(desk)
    for path in desk.folder.glob(f"*{SUFFIX}"):
        told = json.loads(path.read_bytes())["manifest"]
        del told["folder_ends"]
        text = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
        signature = desk.key.private.sign(text).hex()
        path.write_text(json.dumps({"manifest": told, "signature": signature}))

    assert desk.verify()[0] == []
    assert desk.second_opinion().returncode == 0

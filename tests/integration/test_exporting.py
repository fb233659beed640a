"""Exported files prove themselves, and show whatever was done to them."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from persistence.audit.audit import Audit
from persistence.audit.findings import Finding
from persistence.export.exporting import ChainUnsound
from persistence.export.manifest import SigningKey
from persistence.export.writing import entry_file
from persistence.transactions import TransactionKind
from service.cli import main
from service.embedded import EmbeddedValkey
from tests.books import tamper
from tests.drained_ledger import PARTITION_COUNT, movement
from tests.evening_ledger import ANNA
from tests.export_desk import HERS, NOTE, Desk, a_desk, keys, some_play
from tests.ledgers import Ledgers

DATABASE = 11


@pytest_asyncio.fixture
async def desk(ledgers: Ledgers, valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(ledgers, valkey, tmp_path, database=DATABASE) as opened:
        yield opened


async def test_what_is_exported_is_the_ledger_and_proves_itself(desk: Desk) -> None:
    await some_play(desk)

    manifests = await desk.export()

    findings, verified = desk.verify()
    assert findings == []
    sql = await asyncpg.connect(desk.money.ledger_dsn)
    rows = await sql.fetch(
        "SELECT partition, entry_count, chain_hash FROM ledger.partitions WHERE entry_count > 0"
    )
    postings = await sql.fetchval("SELECT count(*) FROM ledger.postings")
    await sql.close()
    assert {(m.partition, m.end, m.last_hash) for m in manifests} == {
        (row["partition"], row["entry_count"], row["chain_hash"].hex()) for row in rows
    }
    assert verified.entry_count == sum(row["entry_count"] for row in rows)
    assert sum(m.posting_count for m in manifests) == postings
    assert all(sum(map(int, sums)) == 0 for m in manifests for sums in m.sums.values())
    opinion = desk.second_opinion()
    assert opinion.returncode == 0, opinion.stderr
    assert "all is well" in opinion.stdout
    told = [json.loads(line).get("metadata", "") for line in desk.lines(desk.hers())]
    assert [json.loads(text) for text in told if text] == [{"reason": "by a test"}, NOTE]


async def test_an_export_goes_on_where_the_folder_ends_and_its_files_follow_one_another(desk: Desk) -> None:
    await some_play(desk)
    await desk.export(end=2)
    await desk.money.move(ANNA, movement(TransactionKind.WIN, "later", 100))
    await desk.money.drain()

    more = await desk.export(compressed=False)

    assert {manifest.first for manifest in more} <= {0, 2}
    assert await desk.export() == []
    assert desk.verify()[0] == []
    assert desk.second_opinion().returncode == 0
    missing = desk.manifests(HERS)[0]
    (desk.folder / missing.file).unlink()
    [finding] = desk.verify()[0]
    assert "missing" in finding.problem


async def test_an_export_beside_a_drain_is_of_one_moment(desk: Desk) -> None:
    await some_play(desk)

    async def play_on() -> None:
        for number in range(30):
            await desk.money.move(ANNA, movement(TransactionKind.WIN, f"beside-{number}", 1))
            if number % 5 == 0:
                await desk.money.drain()
        await desk.money.drain()

    playing = asyncio.create_task(play_on())
    while not playing.done():
        await desk.export()
    await playing
    await desk.export()

    assert desk.verify()[0] == []
    assert desk.second_opinion().returncode == 0


async def test_what_does_not_verify_is_not_signed(desk: Desk) -> None:
    await some_play(desk)
    await tamper(
        desk.money.ledger_dsn, "UPDATE ledger.entries SET amount = amount + 1 WHERE transaction_id = 'w1'"
    )
    sql = await asyncpg.connect(desk.money.ledger_dsn)
    place = await sql.fetchval("SELECT chain_position FROM ledger.entries WHERE transaction_id = 'w1'")
    await sql.close()

    with pytest.raises(ChainUnsound) as unsound:
        await desk.export()

    assert unsound.value.position == place
    assert not list(desk.folder.glob(f"*p{HERS:04}*"))
    findings = [
        event
        async for event in Audit(desk.money.ledger_dsn, valkey_url=None).run()
        if isinstance(event, Finding)
    ]
    assert [finding.partition for finding in findings if "chain" in finding.kind] == [HERS]


Change = Callable[[list[bytes]], list[bytes]]


def _one_byte(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1], lines[2].replace(b"10000", b"90000", 1), *lines[3:]]


def _posting(lines: list[bytes]) -> list[bytes]:
    line = json.loads(lines[2])
    entry, *postings = json.loads(line["text"])
    postings[0][4] += 5
    line["text"] = json.dumps([entry, *postings], separators=(",", ":"))
    return [*lines[:2], json.dumps(line, separators=(",", ":")).encode() + b"\n", *lines[3:]]


def _metadata(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b"aunt", b"dear") for line in lines]


TAMPERINGS: dict[str, tuple[Change, Callable[[int], int]]] = {
    "one byte": (_one_byte, lambda end: 2),
    "a posting": (_posting, lambda end: 2),
    "a swapped pair": (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], lambda end: 3),
    "a dropped entry": (lambda lines: [*lines[:4], *lines[5:]], lambda end: 4),
    "a repeated entry": (lambda lines: [*lines[:4], lines[3], *lines[4:]], lambda end: 4),
    "the last entry dropped": (lambda lines: lines[:-1], lambda end: end - 1),
    "metadata": (_metadata, lambda end: end - 1),
    "an invented entry": (lambda lines: [*lines, lines[-1]], lambda end: end),
}
"""What is done to the lines of a file, and where it shows, by the file's end."""


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_whatever_is_done_to_a_file_is_found_at_its_place(desk: Desk, name: str) -> None:
    await some_play(desk)
    await desk.export()
    manifest, (change, place) = desk.hers(), TAMPERINGS[name]
    lines = desk.lines(manifest)
    changed = change(lines)
    assert changed != lines

    (desk.folder / manifest.file).write_bytes(gzip.compress(b"".join(changed)))

    findings, _ = desk.verify()
    assert "digest differs" in findings[0].problem
    assert [finding.position for finding in findings[1:]] == [place(manifest.end)]
    assert desk.second_opinion().returncode != 0


def _signed_by_another(desk: Desk, path: Path, other: SigningKey) -> None:
    path.write_bytes(other.sign(desk.hers()))


def _forged(desk: Desk, path: Path, _: SigningKey) -> None:
    told = json.loads(path.read_bytes())
    told["manifest"]["entry_count"] += 1
    path.write_text(json.dumps(told))


def _truncated(desk: Desk, _: Path, __: SigningKey) -> None:
    file = desk.folder / desk.hers().file
    file.write_bytes(file.read_bytes()[:-20])


def _unsigned(_: Desk, path: Path, __: SigningKey) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (_signed_by_another, "signature"),
        (_forged, "signature"),
        (_truncated, "digest differs"),
        (_unsigned, "no manifest says what it is"),
    ],
    ids=["another key", "a forged manifest", "a truncated file", "no manifest"],
)
async def test_a_forged_or_broken_file_is_found(
    desk: Desk, tmp_path: Path, do: Callable[[Desk, Path, SigningKey], None], said: str
) -> None:
    await some_play(desk)
    await desk.export()
    other, _, _ = keys(tmp_path, "other")

    [path] = desk.folder.glob(f"*p{HERS:04}*.manifest.json")
    do(desk, path, other)

    findings, _ = desk.verify()
    assert any(said in finding.problem for finding in findings), findings


async def test_commands_export_by_months_and_verify(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_play(desk)
    monkeypatch.setenv("STAKEHOLD_POSTGRES_URL", desk.money.ledger_dsn)
    now = datetime.now(UTC)
    following = f"{now.year + now.month // 12}-{now.month % 12 + 1:02}"

    def run(*words: str | Path) -> tuple[int, str]:
        done = CliRunner().invoke(main, [str(word) for word in words])
        return done.exit_code, done.output

    async def said(*words: str | Path) -> tuple[int, str]:
        return await asyncio.to_thread(run, *words)

    out = ("--out", desk.folder, "--key", desk.private)
    status, output = await said("export", "--all", *out, "--to", f"{now:%Y-%m}")
    assert (status, output.count("nothing to export")) == (0, PARTITION_COUNT), output
    status, output = await said("export", "--partition", str(HERS), *out, "--to", following)
    assert (status, "chain positions 0 to" in output) == (0, True), output
    status, output = await said("export", "--all", *out)
    assert status == 0, output
    status, output = await said("verify-export", desk.folder, "--public-key", desk.public)
    assert (status, "no findings" in output) == (0, True), output
    _, _, other = keys(tmp_path, "other")
    assert (await said("verify-export", desk.folder, "--public-key", other))[0] == 1
    rsa = tmp_path / "rsa.pem"
    rsa.write_bytes(
        generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    status, output = await said("export", "--all", "--out", desk.folder, "--key", rsa)
    assert (status, "another key than one of Ed25519" in output) == (2, True), output
    assert (await said("export", *out))[0] == 2
    assert (await said("export", "--all", *out, "--from", "yesterday"))[0] == 2


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), entry_file(tmp_path / "a.jsonl.gz", with_metadata=False):
        raise ZeroDivisionError

    assert list(tmp_path.iterdir()) == []

"""Verifies a folder of exported files. Needs nothing but the files and the public key."""

import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from persistence.export.lines import (
    AFTERS,
    CHANGES,
    CURRENCY,
    PLAYER,
    VERSION,
    Line,
    read_line,
)
from persistence.export.manifest import SUFFIX, Manifest, read_manifest
from persistence.export.writing import digest_of, is_unfinished
from persistence.hash_chain import FIRST_PREVIOUS_HASH


@dataclass(frozen=True, slots=True)
class ExportFinding:
    """Something that is wrong. ``position`` is the first place of the chain where it shows, if it has one."""

    file: str
    problem: str
    partition: int | None = None
    position: int | None = None

    def __str__(self) -> str:
        place = (
            "" if self.position is None else f", partition {self.partition}, chain position {self.position}"
        )
        return f"{self.file}{place}: {self.problem}"


@dataclass(frozen=True, slots=True)
class VerifiedPartition:
    """What the files of a partition say that they have: from ``first`` up to, and without, ``end``."""

    ledger_id: str
    partition: int
    first: int
    end: int
    last_hash: str


@dataclass(slots=True)
class Verified:
    """What was looked at. ``erased_count`` entries have a hash over what was erased: only links and the rest
    of the entry could be checked. ``partitions`` are in order.
    """

    file_count: int = 0
    entry_count: int = 0
    erased_count: int = 0
    partitions: list[VerifiedPartition] = field(default_factory=list)


@dataclass(slots=True)
class _Chain:
    """Where one partition's files have come to."""

    next_position: int | None = None
    hash: bytes = b""
    is_from_the_start: bool = False
    wallets: dict[tuple[object, object], tuple[int, list[int]]] = field(default_factory=dict)

    def lose_wallets(self) -> None:
        """What came before is not known: whatever comes next is taken as it is."""
        self.wallets.clear()
        self.is_from_the_start = False


def verify_folder(
    folder: Path,
    public: Ed25519PublicKey,
    verified: Verified,
    *,
    ledger_id: str | None = None,
    from_the_middle: bool = False,
) -> Iterator[ExportFinding]:
    """Findings as they turn up. A file is followed up to its first break.

    Every partition's files begin with its chain, unless ``from_the_middle`` is said; and all are of
    ``ledger_id``, where that is said.
    """
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    manifests: dict[tuple[str, int], list[tuple[Path, Manifest]]] = defaultdict(list)
    named = set[str]()
    for path in paths:
        try:
            manifest = read_manifest(path, public)
        except ValueError as error:
            yield ExportFinding(path.name, str(error))
            named.update(path.name.removesuffix(SUFFIX) + kind for kind in (".jsonl", ".jsonl.gz"))
            continue
        named.add(manifest.file)
        manifests[manifest.ledger_id, manifest.partition].append((path, manifest))
    if not paths:
        yield ExportFinding(str(folder), "there is no manifest in it")
    for file in sorted(folder.glob("*.jsonl*")):
        if file.name not in named and not is_unfinished(file):
            yield ExportFinding(file.name, "no manifest says what it is")
    if len({ledger for ledger, _ in manifests}) > 1:
        yield ExportFinding(str(folder), "it has files of several ledgers")
    for ledger in sorted({ledger for ledger, _ in manifests if ledger_id not in (None, ledger)}):
        yield ExportFinding(str(folder), f"it has files of ledger {ledger}, not of {ledger_id}")
    for (ledger, partition), found in sorted(manifests.items()):
        chain = _Chain()
        found.sort(key=lambda of: (of[1].first, of[1].end))
        first = found[0][1].first
        if first > 0 and not from_the_middle:
            yield ExportFinding(
                found[0][0].name, f"what is before it is missing: it begins at {first}", partition, 0
            )
        for path, manifest in found:
            yield from _verify_file(folder, path, manifest, chain, verified)
        last = found[-1][1]
        verified.partitions.append(VerifiedPartition(ledger, partition, first, last.end, last.last_hash))
    yield from _missing(folder, [manifest for found in manifests.values() for _, manifest in found])


def _missing(folder: Path, manifests: Sequence[Manifest]) -> Iterator[ExportFinding]:
    """Places of which a manifest says that the folder has them, and that no other one is of."""
    has: dict[tuple[str, int], int] = defaultdict(int)
    told: dict[tuple[str, int], int] = defaultdict(int)
    for manifest in manifests:
        place = manifest.ledger_id, manifest.partition
        has[place] = max(has[place], manifest.end)
        for number, end in (manifest.folder_ends or {}).items():
            place = manifest.ledger_id, int(number)
            told[place] = max(told[place], end)
    for (ledger, partition), end in sorted(told.items()):
        if has[ledger, partition] < end:
            yield ExportFinding(
                str(folder),
                f"files up to {end} are missing, which were exported with others that are there",
                partition,
                has[ledger, partition],
            )


def verify_file(path: Path, public: Ed25519PublicKey, verified: Verified) -> Iterator[ExportFinding]:
    """One file, by its manifest, whatever lies beside it."""
    try:
        manifest = read_manifest(path, public)
    except (ValueError, OSError) as error:
        yield ExportFinding(path.name, str(error))
        return
    yield from _verify_file(path.parent, path, manifest, _Chain(), verified)


def _verify_file(
    folder: Path, path: Path, manifest: Manifest, chain: _Chain, verified: Verified
) -> Iterator[ExportFinding]:
    verified.file_count += 1
    partition, first = manifest.partition, manifest.first
    previous = bytes.fromhex(manifest.previous_hash)
    if chain.next_position is not None and chain.next_position != first:
        yield ExportFinding(
            path.name,
            f"it begins at {first}, but the file before it ends before {chain.next_position}",
            partition,
            min(first, chain.next_position),
        )
        chain.lose_wallets()
    elif chain.next_position is not None and chain.hash != previous:
        problem = "it does not follow the file before it: the hashes differ"
        yield ExportFinding(path.name, problem, partition, first)
    elif first == 0 and previous != FIRST_PREVIOUS_HASH:
        yield ExportFinding(path.name, "a chain begins with a hash of zeros", partition, 0)
    if chain.next_position is None:
        chain.is_from_the_start = first == 0
    chain.next_position, chain.hash = manifest.end, bytes.fromhex(manifest.last_hash)
    file = folder / manifest.file
    if Path(manifest.file).name != manifest.file or not file.is_file():
        yield ExportFinding(manifest.file, "the file is missing", partition, first)
        chain.lose_wallets()
        return
    if digest_of(file) != manifest.file_digest:
        yield ExportFinding(manifest.file, "the file is not the one that was signed: its digest differs")
    yield from _verify_lines(file, manifest, previous, chain, verified)


def _verify_lines(
    file: Path, manifest: Manifest, previous: bytes, chain: _Chain, verified: Verified
) -> Iterator[ExportFinding]:
    position, erased, postings = manifest.first, 0, 0
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    try:
        for raw in lines_of(file):
            line = read_line(raw)
            problem = next(_problems(line, position, previous, chain), None)
            if problem is not None:
                yield ExportFinding(file.name, problem, manifest.partition, position)
                chain.lose_wallets()
                return
            previous, position = line.hash, position + 1
            erased += line.erased_hash is not None
            postings += len(line.postings)
            for _, _, _, currency, amount in line.postings:
                sums[currency][amount < 0] += amount
    except (ValueError, OSError, EOFError, zlib.error) as error:
        yield ExportFinding(
            file.name,
            f"it cannot be read further: {str(error) or type(error).__name__}",
            manifest.partition,
            position,
        )
        chain.lose_wallets()
        return
    finally:
        verified.entry_count += position - manifest.first
        verified.erased_count += erased
    told = (
        manifest.end,
        manifest.last_hash,
        manifest.entry_count,
        manifest.posting_count,
        manifest.erased_count,
    )
    if (position, previous.hex(), position - manifest.first, postings, erased) != told:
        problem = f"it ends before {position} with hash {previous.hex()}, unlike what its manifest says"
        yield ExportFinding(file.name, problem, manifest.partition, position)
        chain.lose_wallets()
    elif {code: (str(plus), str(minus)) for code, (plus, minus) in sums.items()} != dict(manifest.sums):
        yield ExportFinding(file.name, "its sums are not those of its manifest", manifest.partition)


def lines_of(file: Path) -> Iterator[bytes]:
    """The lines of an exported file, not read yet."""
    with file.open("rb") as raw:
        if file.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw, mode="rb") as lines:
                yield from lines
        else:
            yield from raw


def _problems(line: Line, position: int, previous: bytes, chain: _Chain) -> Iterator[str]:
    if line.position != position:
        yield f"it stands there as the entry of chain position {line.position}"
    made = line.hash_after(previous)
    if made is not None and made != line.hash:
        yield (
            f"its hash is {line.hash.hex()}, but what stands there after the entry before it has {made.hex()}"
        )
    yield from line.content_problems(previous)
    if line.entry[VERSION] is not None:
        yield from _wallet_problems(line, chain)


def _wallet_problems(line: Line, chain: _Chain) -> Iterator[str]:
    """Versions follow one another, and each balance is the one before it and the change."""
    player, currency = line.entry[PLAYER], line.entry[CURRENCY]
    version = int(line.entry[VERSION] or 0)
    changes, after = (
        [int(amount or 0) for amount in line.entry[CHANGES]],
        [int(amount or 0) for amount in line.entry[AFTERS]],
    )
    known = chain.wallets.get((player, currency))
    if known is None and chain.is_from_the_start:
        known = (0, [0, 0, 0, 0])
    if known is not None:
        if version != known[0] + 1:
            yield f"the {currency} wallet of player {player} goes from version {known[0]} to {version}"
        elif [before + change for before, change in zip(known[1], changes, strict=True)] != after:
            yield f"the {currency} wallet of player {player} has {after} after {known[1]} and {changes}"
    chain.wallets[player, currency] = (version, after)

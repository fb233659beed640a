"""Verifies exported files of the ledger, and knows nothing of Stakehold: a second opinion for an auditor.

    python verify_export.py FOLDER PUBLIC_KEY.pem [--from-the-middle]

Needs Python and the package `cryptography`. docs/backups.md says what is in the files.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def require(is_so: object, otherwise: str) -> None:
    """Raises where it is not so; an assert would be passed over by `python -O`."""
    if not is_so:
        raise SystemExit(otherwise)


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def check_file(folder: Path, manifest: Any, ends: Any, versions: Any) -> None:
    content = (folder / manifest["file"]).read_bytes()
    require(hashlib.sha256(content).hexdigest() == manifest["file_digest"], "the file was changed")
    content = gzip.decompress(content) if manifest["file"].endswith(".gz") else content
    partition, position, previous = manifest["partition"], manifest["first"], manifest["previous_hash"]
    expected = ends.get(partition, (position, previous if position else "00" * 32))
    require((position, previous) == expected, "it does not follow the file before it")
    for line in map(json.loads, content.splitlines()):
        entry, *postings = json.loads(line["text"])
        made = hashlib.sha256(bytes.fromhex(previous) + line["text"].encode()).hexdigest()
        require(made == line.get("erased_hash", line["hash"]), f"position {position}: the hash is wrong")
        require(entry[1] == position, f"position {position}: the entry is of {entry[1]}")
        if "metadata" in line:
            digest = hashlib.sha256(bytes.fromhex(line["salt"]) + line["metadata"].encode()).hexdigest()
            require(entry[33] == f"sha256:{digest}", f"position {position}: the metadata was changed")
        for currency in {posting[3] for posting in postings}:
            total = sum(posting[4] for posting in postings if posting[3] == currency)
            require(total == 0, f"position {position}: {total} {currency} too much")
        if (version := entry[11]) is not None:
            wallet = (entry[4], entry[9])
            known = versions.get(wallet, 0 if (partition, 0) in versions else version - 1)
            require(version == known + 1, f"position {position}: version {version} after {known}")
            versions[wallet] = version
        previous, position = line["hash"], position + 1
    told = (manifest["end"], manifest["last_hash"])
    require((position, previous) == told, "it does not end as it should")
    ends[partition] = (position, previous)


def main(folder: Path, public_key: Path, *, from_the_middle: bool) -> None:
    key = load_pem_public_key(public_key.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise SystemExit("the key is not one of Ed25519")
    signed = [json.loads(path.read_bytes()) for path in folder.glob("*.manifest.json")]
    for told in signed:
        key.verify(bytes.fromhex(told["signature"]), canonical(told["manifest"]))
    manifests = sorted(
        (told["manifest"] for told in signed), key=lambda one: (one["partition"], one["first"])
    )
    require(manifests, "there is nothing to verify")
    require(len({one["ledger_id"] for one in manifests}) == 1, "there are files of several ledgers")
    ends: Any = {}
    versions: Any = {}
    for manifest in manifests:
        partition, first = manifest["partition"], manifest["first"]
        is_known = from_the_middle or first == 0 or partition in ends
        require(is_known, f"partition {partition} begins at {first}: what is before it is missing")
        if first == 0:
            versions[partition, 0] = 0
        check_file(folder, manifest, ends, versions)
    for manifest in manifests:
        for partition, end in (manifest.get("folder_ends") or {}).items():
            has, _ = ends.get(int(partition), (0, ""))
            require(has >= end, f"partition {partition}: files up to {end} are missing")
    for partition, (end, last_hash) in ends.items():
        first = min(one["first"] for one in manifests if one["partition"] == partition)
        print(f"{manifests[0]['ledger_id']} {partition}: {first} to {end - 1}, last hash {last_hash}")
    print(f"{len(manifests)} files, {sum(one['entry_count'] for one in manifests)} entries: all is well")


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if not word.startswith("--")]
    main(Path(names[0]), Path(names[1]), from_the_middle="--from-the-middle" in sys.argv)

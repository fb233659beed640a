"""Verifies exported files of the ledger, and knows nothing of Stakehold: a second opinion for an auditor.

    python verify_export.py FOLDER PUBLIC_KEY.pem

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


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def check_file(folder: Path, manifest: Any, ends: Any, versions: Any) -> None:
    content = (folder / manifest["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == manifest["file_digest"], "the file was changed"
    content = gzip.decompress(content) if manifest["file"].endswith(".gz") else content
    partition, position, previous = manifest["partition"], manifest["first"], manifest["previous_hash"]
    expected = ends.get(partition, (position, previous if position else "00" * 32))
    assert (position, previous) == expected, "it does not follow the file before it"
    for line in map(json.loads, content.splitlines()):
        entry, *postings = json.loads(line["text"])
        made = hashlib.sha256(bytes.fromhex(previous) + line["text"].encode()).hexdigest()
        assert made == line.get("erased_hash", line["hash"]), f"position {position}: the hash is wrong"
        assert entry[1] == position, f"position {position}: the entry is of {entry[1]}"
        if "metadata" in line:
            digest = hashlib.sha256(bytes.fromhex(line["salt"]) + line["metadata"].encode()).hexdigest()
            assert entry[33] == f"sha256:{digest}", f"position {position}: the metadata was changed"
        for currency in {posting[3] for posting in postings}:
            total = sum(posting[4] for posting in postings if posting[3] == currency)
            assert total == 0, f"position {position}: {total} {currency} too much"
        if (version := entry[11]) is not None:
            wallet = (entry[4], entry[9])
            known = versions.get(wallet, 0 if (partition, 0) in versions else version - 1)
            assert version == known + 1, f"position {position}: version {version} after {known}"
            versions[wallet] = version
        previous, position = line["hash"], position + 1
    assert (position, previous) == (manifest["end"], manifest["last_hash"]), "it does not end as it should"
    ends[partition] = (position, previous)


def main(folder: Path, public_key: Path) -> None:
    key = load_pem_public_key(public_key.read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    signed = [json.loads(path.read_bytes()) for path in folder.glob("*.manifest.json")]
    ends: Any = {}
    versions: Any = {}
    for told in sorted(signed, key=lambda one: (one["manifest"]["partition"], one["manifest"]["first"])):
        manifest = told["manifest"]
        key.verify(bytes.fromhex(told["signature"]), canonical(manifest))
        if manifest["first"] == 0:
            versions[manifest["partition"], 0] = 0
        check_file(folder, manifest, ends, versions)
    assert signed, "there is nothing to verify"
    print(f"{len(signed)} files, {sum(end for end, _ in ends.values())} entries: all is well")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

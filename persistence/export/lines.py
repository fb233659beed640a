"""One line of an exported file: an entry with its postings, as it is hashed.

A line is a JSON object. ``text`` is what the entry's hash covers behind the previous hash
(persistence/hash_chain.py), itself JSON: an array of the entry's fields, then one array for each posting.
``hash`` is the entry's, hexadecimal. There may be ``salt`` and ``metadata``, whose digest stands in the text;
and ``erased_hash``, where the text that the hash covers was erased: then ``text`` is what that one covers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from persistence.audit.entry_checks import StoredEntry
from persistence.hash_chain import canonical_metadata, hashed_text, text_of_erased

CHAIN_POSITION, ENTRY_TYPE, PLAYER, SOURCE, TRANSACTION = 1, 2, 4, 5, 6
CURRENCY, VERSION = 9, 11
CHANGES, AFTERS = slice(12, 16), slice(16, 20)
BOOKED_MS, METADATA = 32, 33
"""Places in the array of an entry's fields."""

_DIGEST = "sha256:"
_Fields = list[str | int | None]


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read. ``entry`` and ``postings`` are what ``text`` says."""

    text: str
    hash: bytes
    entry: _Fields
    postings: list[tuple[str, str, str, str, int]]
    salt: bytes | None = None
    metadata: str | None = None
    erased_hash: bytes | None = None

    @property
    def position(self) -> int:
        return int(self.entry[CHAIN_POSITION] or 0)

    def hash_after(self, previous: bytes) -> bytes | None:
        """What its hash has to be; None where that cannot be made any more."""
        return None if self.erased_hash else sha256(previous + self.text.encode()).digest()

    def content_problems(self, previous: bytes) -> Iterator[str]:
        """What is wrong with it by itself, beside its hash."""
        if self.erased_hash and sha256(previous + self.text.encode()).digest() != self.erased_hash:
            yield "its metadata was erased, and the rest is not what its erased_hash covers"
        if self.metadata is not None:
            digest = sha256((self.salt or b"") + self.metadata.encode()).hexdigest()
            if self.entry[METADATA] != _DIGEST + digest:
                yield "its metadata is not what was sealed"
        sums: dict[str, int] = {}
        for _, _, _, currency, amount in self.postings:
            sums[currency] = sums.get(currency, 0) + amount
        for currency, excess in sums.items():
            if excess:
                yield f"its postings sum to {excess} {currency}, not to zero"


def write_line(stored: StoredEntry, *, with_metadata: bool) -> bytes:
    """An entry as a line, with its newline."""
    chained = stored.chained
    is_gone = chained.is_hash_of_erased
    text = text_of_erased(chained, stored.legs) if is_gone else hashed_text(chained, stored.legs)
    line: dict[str, str] = {"text": text, "hash": stored.hash.hex()}
    if with_metadata and chained.seal is not None and chained.seal.salt is not None:
        line["salt"] = chained.seal.salt.hex()
        line["metadata"] = canonical_metadata(chained.entry.metadata)
    if chained.erased is not None and chained.erased.erased_hash is not None:
        line["erased_hash"] = chained.erased.erased_hash.hex()
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def read_line(raw: bytes) -> Line:
    """Raises ValueError for what is no line of an export."""
    try:
        line: Mapping[str, str] = json.loads(raw)
        entry, *postings = json.loads(line["text"])
        if len(entry) <= METADATA:
            raise ValueError("an entry lacks fields")
        return Line(
            line["text"],
            bytes.fromhex(line["hash"]),
            entry,
            [
                (str(kind), str(owner), str(bucket), str(currency), int(amount))
                for kind, owner, bucket, currency, amount in postings
            ],
            bytes.fromhex(line["salt"]) if "salt" in line else None,
            line.get("metadata"),
            bytes.fromhex(line["erased_hash"]) if "erased_hash" in line else None,
        )
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no line of an export: {error!r}") from None

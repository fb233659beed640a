"""Cursors: how far all partitions were looked through, as one opaque text.

URL-safe base64 of a version, the ledger's id, the next place of each partition, and a digest of them, which
only tells a damaged one from a good one: a cursor holds nothing secret and is no permission.
"""

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from uuid import UUID

from persistence.errors import CursorInvalid, CursorNotInLedger

_VERSION = 1
_HEAD = struct.Struct(">B16s")
_PLACE = struct.Struct(">q")
_DIGEST_BYTES = 8


class Cursor:
    """One subscription's place in the ledger, which moves on."""

    def __init__(self, ledger_id: UUID, positions: Mapping[int, int]) -> None:
        self._packed = bytearray(_HEAD.size + _PLACE.size * len(positions))
        _HEAD.pack_into(self._packed, 0, _VERSION, ledger_id.bytes)
        self.positions = dict(sorted(positions.items()))
        self.advance(self.positions)

    @classmethod
    def read(cls, text: str, *, ledger_id: UUID, partition_count: int) -> "Cursor":
        """Raises CursorInvalid, and CursorNotInLedger for a cursor of another ledger."""
        try:
            sealed = urlsafe_b64decode(text.encode("ascii"))
        except (ValueError, binascii.Error):
            raise CursorInvalid from None
        packed, digest = sealed[:-_DIGEST_BYTES], sealed[-_DIGEST_BYTES:]
        if len(packed) < _HEAD.size or digest != _digest(packed) or _encoded(sealed) != text:
            raise CursorInvalid
        version, ledger = _HEAD.unpack_from(packed)
        if version != _VERSION:
            raise CursorInvalid
        if ledger != ledger_id.bytes:
            raise CursorNotInLedger(
                f"the cursor is of the ledger {UUID(bytes=ledger)}, and this one is {ledger_id}",
                cause="other_ledger",
            )
        if len(packed) != _HEAD.size + _PLACE.size * partition_count:
            raise CursorInvalid
        places = [place for (place,) in _PLACE.iter_unpack(packed[_HEAD.size :])]
        if min(places) < 0:
            raise CursorInvalid
        return cls(ledger_id, dict(enumerate(places)))

    def advance(self, positions: Mapping[int, int]) -> None:
        for partition, position in positions.items():
            self.move(partition, position)

    def move(self, partition: int, position: int) -> None:
        """From now on ``position`` is the next of the partition."""
        self.positions[partition] = position
        _PLACE.pack_into(self._packed, _HEAD.size + _PLACE.size * partition, position)

    def __str__(self) -> str:
        packed = bytes(self._packed)
        return _encoded(packed + _digest(packed))


def _encoded(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).decode("ascii")


def _digest(packed: bytes) -> bytes:
    return blake2b(packed, digest_size=_DIGEST_BYTES, person=b"event cursor").digest()

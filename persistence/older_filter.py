"""The filter of older ids: which fields the ledger may know of a player beyond what the store remembers.

A blocked Bloom filter: a block has 256 bits, and a field sets six of them in one block. Which, its SHA-1
says, as that is what the scripts can ask for too. In hexadecimal, digits 0 to 12 modulo the number of
blocks name the block, and each of the six pairs of digits that follow names a bit of it; bit b is in byte b
>> 3 under the mask 1 << (b & 7). What was added is found. Of what was not, less than one in a hundred is
found all the same, as long as the filter has the blocks that ``blocks_for`` says. The Lua side is
``lua/includes/older.lua``.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha1

BLOCK_BYTES = 32
BITS_PER_FIELD = 16

_FIELDS_PER_BLOCK = BLOCK_BYTES * 8 // BITS_PER_FIELD
_BLOCK_SHIFT = 160 - 13 * 4
"""SHA-1 has 160 bits: what is above these names the block."""
_BIT_SHIFTS = tuple(_BLOCK_SHIFT - 8 * number for number in range(1, 7))


def blocks_for(count: int) -> int:
    """How many blocks a filter of so many fields has: a power of two, at least 16 bits for each field."""
    least = -(-count // _FIELDS_PER_BLOCK)
    return 1 << max(0, least - 1).bit_length()


class OlderFilter:
    """A filter over its bytes, 32 for each block."""

    def __init__(self, contents: bytes) -> None:
        if not contents or len(contents) % BLOCK_BYTES:
            raise ValueError(f"{len(contents)} bytes are no filter: a block has {BLOCK_BYTES}")
        self._contents = bytearray(contents)
        self._blocks = len(contents) // BLOCK_BYTES

    @classmethod
    def of(cls, fields: Iterable[str], blocks: int) -> "OlderFilter":
        """A filter that has these fields."""
        made = cls(bytes(BLOCK_BYTES * blocks))
        for field in fields:
            made.add(field)
        return made

    @property
    def bytes(self) -> bytes:
        """As the store keeps it."""
        return bytes(self._contents)

    def add(self, field: str) -> None:
        for byte, mask in self._bits(field):
            self._contents[byte] |= mask

    def __contains__(self, field: str) -> bool:
        return all(self._contents[byte] & mask for byte, mask in self._bits(field))

    def _bits(self, field: str) -> Iterator[tuple[int, int]]:
        """The place of the byte and the mask of each bit that stands for the field."""
        digest = int.from_bytes(sha1(field.encode("utf-8"), usedforsecurity=False).digest())
        first_byte = (digest >> _BLOCK_SHIFT) % self._blocks * BLOCK_BYTES
        for shift in _BIT_SHIFTS:
            bit = (digest >> shift) & 255
            yield first_byte + (bit >> 3), 1 << (bit & 7)

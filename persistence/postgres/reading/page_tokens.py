"""Page tokens: where the next page begins, sealed to the list and the filters that it continues.

A token is URL-safe base64 of some 64-bit numbers and a digest of them with the scope. It holds nothing secret
and is no permission: the digest only tells a token of another list, or a damaged one, from the right one.
"""

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b

from persistence.errors import PageTokenInvalid

_DIGEST_BYTES = 8


def write_token(numbers: Sequence[int], scope: Sequence[object]) -> str:
    """A token of the numbers, for reading with the same scope: the list's name and its filters."""
    packed = struct.pack(f">{len(numbers)}q", *numbers)
    return urlsafe_b64encode(packed + _digest(packed, scope)).decode("ascii")


def read_token(text: str, scope: Sequence[object], *, count: int) -> tuple[int, ...]:
    """The numbers of a token. Raises PageTokenInvalid for anything that write_token did not write."""
    try:
        sealed = urlsafe_b64decode(text.encode("ascii"))
    except (ValueError, binascii.Error):
        raise PageTokenInvalid from None
    packed, digest = sealed[:-_DIGEST_BYTES], sealed[-_DIGEST_BYTES:]
    if len(packed) != 8 * count or digest != _digest(packed, scope) or text != _encoded(sealed):
        raise PageTokenInvalid
    return struct.unpack(f">{count}q", packed)


def _encoded(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).decode("ascii")


def _digest(packed: bytes, scope: Sequence[object]) -> bytes:
    return blake2b(packed + repr(tuple(scope)).encode(), digest_size=_DIGEST_BYTES).digest()

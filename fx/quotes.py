"""Quotes: a rate that is promised to a player for a while.

A quote says everything itself, and is signed: giving one costs no memory, and none is lost. Whoever exchanges
brings it back. That it is used once, and in time, is decided where the money moves.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from secrets import token_urlsafe

from fx.rate_locks import RateLock, Rounding

_SEPARATOR = ";"
_SIGNATURE_BYTES = 16
_OWNER_BYTES = 12
_NONCE_BYTES = 15


class QuoteForged(ValueError):
    """A text that was not signed with any of the keys, or that is no quote."""


@dataclass(frozen=True, slots=True)
class Quote:
    """``sell_amount`` is in minor units of the lock's currency, ``buy_amount`` of its wallet's currency.

    ``transaction_id`` is what the buying side of the exchange is booked under. ``expires_ms`` is a Unix time
    in milliseconds. ``owner`` is a digest of the source and the player that it was given to.
    """

    transaction_id: str
    owner: str
    lock: RateLock
    sell_amount: int
    expires_ms: int

    @property
    def buy_amount(self) -> int:
        return self.lock.rate.convert(self.sell_amount, Rounding.DOWN)

    def is_of(self, source_id: str, player_id: str) -> bool:
        return self.owner == _owner(source_id, player_id)


def new_quote(*, source_id: str, player_id: str, lock: RateLock, sell_amount: int, expires_ms: int) -> Quote:
    """A quote that nobody was given before."""
    transaction_id = f"quote-{token_urlsafe(_NONCE_BYTES)}"
    return Quote(transaction_id, _owner(source_id, player_id), lock, sell_amount, expires_ms)


def least_sale(lock: RateLock, buy_amount: int) -> int:
    """The least amount that becomes ``buy_amount`` or more, both in minor units."""
    exact = buy_amount / lock.rate.exact
    return -(-exact.numerator // exact.denominator)


def sign(quote: Quote, key_id: str, key: bytes) -> str:
    """The quote as a text that callers bring back: printable ASCII without blanks."""
    terms = (
        quote.transaction_id,
        quote.owner,
        str(quote.sell_amount),
        str(quote.expires_ms),
        str(quote.lock),
    )
    payload = _SEPARATOR.join((key_id, *terms)).encode("ascii")
    return f"{_encoded(payload)}.{_encoded(_signature(payload, key))}"


def read(text: str, keys: Mapping[str, bytes]) -> Quote:
    """The quote that was signed with one of the keys. Raises QuoteForged."""
    try:
        payload, signature = map(_decoded, text.split("."))
        key_id, transaction_id, owner, sell_amount, expires_ms, lock = payload.decode("ascii").split(
            _SEPARATOR
        )
        if not hmac.compare_digest(signature, _signature(payload, keys[key_id])):
            raise QuoteForged("the signature is not this service's")
        return Quote(transaction_id, owner, RateLock.parse(lock), int(sell_amount), int(expires_ms))
    except (ValueError, KeyError) as error:
        raise QuoteForged("this is no quote") from error


def _owner(source_id: str, player_id: str) -> str:
    digest = blake2b(f"{source_id}\x1f{player_id}".encode("ascii"), digest_size=_OWNER_BYTES)
    return _encoded(digest.digest())


def _signature(payload: bytes, key: bytes) -> bytes:
    return hmac.new(key, payload, sha256).digest()[:_SIGNATURE_BYTES]


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))

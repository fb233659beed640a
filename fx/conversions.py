"""What a transaction says that came in another currency than its wallet's."""

from dataclasses import dataclass
from enum import StrEnum

from fx.rate_locks import RateLock

_SEPARATOR = ";"


class RateOrigin(StrEnum):
    """Where a transaction has its rate from."""

    CURRENT = "current"
    """The rate of the moment when it was applied."""
    ROUND = "round"
    """Locked by the first bet of its round."""
    REFERENCE = "reference"
    """Locked by the transaction that it refers to."""
    QUOTE = "quote"
    """Promised ahead by a quote."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """``amount`` is what the caller named, in minor units of the lock's currency. What it became in the
    wallet's currency is the transaction's own amount.
    """

    amount: int
    lock: RateLock
    origin: RateOrigin

    @classmethod
    def parse(cls, text: str) -> "Conversion":
        """Raises ValueError."""
        currency, amount, lock_text, origin = text.split(_SEPARATOR)
        lock = RateLock.parse(lock_text)
        if lock.currency != currency:
            raise ValueError(f"an amount in {currency} with a rate for {lock.currency}")
        return cls(int(amount), lock, RateOrigin(origin))

    def __str__(self) -> str:
        return _SEPARATOR.join((self.lock.currency, str(self.amount), str(self.lock), self.origin))

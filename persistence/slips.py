"""Slips: money that is held and stakes that are placed, as ``lua/includes/slips.lua`` keeps them."""

from dataclasses import dataclass
from enum import StrEnum

from persistence.transactions import CurrencyCode, TransactionId

_SEPARATOR = "\x1d"
_FIELDS = 16


class SlipState(StrEnum):
    HELD = "held"
    """Some of it is still held, whatever was captured."""
    OPEN = "open"
    """The stake is placed, and nothing is held any more."""
    SETTLED = "settled"
    VOIDED = "voided"
    CASHED_OUT = "cashed_out"
    CAPTURED = "captured"
    """What is no bet, and nothing is held any more."""
    RELEASED = "released"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    """What opened it was rolled back."""


SLIPS_IN_PLAY = frozenset((SlipState.HELD, SlipState.OPEN))
"""Where something is still to come."""


@dataclass(frozen=True, slots=True)
class Slip:
    """A slip after one of its changes. Amounts are minor units of ``currency``, the one that it was asked for
    in; the worths are what they came to in the wallet's.

    ``held`` can still be captured or released; ``staked`` was captured or placed; ``live`` is what of it was
    not cashed out; ``paid`` by settlements, ``cashed`` by cash-outs. ``last`` is the newest transaction on it
    that stands, ``undone`` the rollback right after it or "". ``seal`` follows from all
    that has changed it; "" where that is not looked at.
    """

    version: int
    state: SlipState
    currency: CurrencyCode
    held: int
    staked: int
    live: int
    paid: int
    cashed: int
    held_worth: int
    live_worth: int
    paid_worth: int
    expires_ms: int | None
    last: TransactionId
    undone: str
    slip_id: TransactionId
    seal: str = ""

    @classmethod
    def parse(cls, text: str) -> "Slip":
        """Reads a slip's text. Raises ValueError for any other."""
        fields = text.split(_SEPARATOR)
        if len(fields) != _FIELDS:
            raise ValueError(f"{len(fields)} fields of a slip instead of {_FIELDS}")
        held, staked, live, paid, cashed, held_worth, live_worth, paid_worth = map(int, fields[3:11])
        expires_ms, seal, last, undone, slip_id = fields[11:]
        return cls(
            version=int(fields[0]),
            state=SlipState(fields[1]),
            currency=CurrencyCode(fields[2]),
            held=held,
            staked=staked,
            live=live,
            paid=paid,
            cashed=cashed,
            held_worth=held_worth,
            live_worth=live_worth,
            paid_worth=paid_worth,
            expires_ms=int(expires_ms) if expires_ms else None,
            seal=seal,
            last=TransactionId(last),
            undone=undone,
            slip_id=TransactionId(slip_id),
        )

    def __str__(self) -> str:
        amounts = (self.held, self.staked, self.live, self.paid, self.cashed)
        worths = (self.held_worth, self.live_worth, self.paid_worth)
        expires = "" if self.expires_ms is None else str(self.expires_ms)
        numbers = (self.version, self.state, self.currency, *amounts, *worths)
        return _SEPARATOR.join((*map(str, numbers), expires, self.seal, self.last, self.undone, self.slip_id))


@dataclass(frozen=True, slots=True)
class SlipTerms:
    """What a step on a slip says beside its amount. ``is_final``: nothing of its sort comes after it.
    ``stake`` is the part of the stake that a cash-out is about, in minor units; None for all of it.
    """

    is_final: bool = False
    expires_ms: int | None = None
    stake: int | None = None

    def __str__(self) -> str:
        expires = "" if self.expires_ms is None else str(self.expires_ms)
        return _SEPARATOR.join(("1" if self.is_final else "", expires, _text(self.stake)))

    @property
    def identity(self) -> str:
        """What a retry has to repeat: when a hold expires may differ."""
        return _SEPARATOR.join(("1" if self.is_final else "", _text(self.stake)))


def slip_id_of(text: str) -> TransactionId:
    """The transaction that opened the slip of a text."""
    return TransactionId(text.rpartition(_SEPARATOR)[2])


def _text(number: int | None) -> str:
    return "" if number is None else str(number)

"""Rates of the market, as feeds and people bring them, and what is asked of them before they are used."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from fx.rate_locks import Side

MAX_SPREAD_BPS = 9_900
"""Beyond it, what an amount is worth at mid could have more digits than the ledger takes."""

WHOLE_BPS = 10_000


class RateState(StrEnum):
    """``held`` rates are not used: they wait for somebody to confirm or to reject them."""

    ACCEPTED = "accepted"
    HELD = "held"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Rate:
    """``mid``: units of ``quote`` for one unit of ``base``, exact. Times are Unix milliseconds."""

    rate_id: int
    source: str
    base: str
    quote: str
    mid: Decimal
    published_ms: int
    received_ms: int
    state: RateState = RateState.ACCEPTED


@dataclass(frozen=True, slots=True)
class Pair:
    """What holds for rates of ``base`` in ``quote``.

    A rate is used for ``stale_after_s`` after it was published. One that differs from the one before by more
    than ``jump_bps`` (ten thousandths) is held; it takes a second person to confirm one that was pushed by
    hand and differs by more than ``two_person_bps``. ``peg`` is what a stablecoin should be worth: beyond
    ``peg_band_bps`` from it the pair is not used. Raises ValueError for what can't be meant.
    """

    base: str
    quote: str
    stale_after_s: int
    jump_bps: int
    two_person_bps: int
    peg: Decimal | None = None
    peg_band_bps: int = 0

    def __post_init__(self) -> None:
        if self.base == self.quote:
            raise ValueError(f"{self.base} has no rate in itself")
        if self.stale_after_s <= 0 or min(self.jump_bps, self.two_person_bps, self.peg_band_bps) < 0:
            raise ValueError("a limit of a pair is negative, or its rates are never used")
        if self.peg is not None and not (self.peg.is_finite() and self.peg > 0):
            raise ValueError(f"{self.peg} is no peg")


@dataclass(frozen=True, slots=True)
class Spread:
    """What the house earns: ``bps`` ten thousandths of mid, in the player's disfavour.

    Of a transaction in ``currency`` on a wallet in ``wallet_currency``, on one side, for one group of
    players; "" is any currency, None any side, "" any group. The most specific one counts. Raises ValueError
    where next to nothing of the amount would be left, or more than all.
    """

    bps: int
    currency: str = ""
    wallet_currency: str = ""
    side: Side | None = None
    player_group: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.bps <= MAX_SPREAD_BPS:
            raise ValueError(f"a spread is 0 to {MAX_SPREAD_BPS} bps, not {self.bps}")

"""What becomes of a rate that comes in: used, kept for somebody to confirm, or passed over."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from fx.rates import WHOLE_BPS, Pair, Rate

MID_DIGITS = 18
"""On either side of the point."""

CLOCK_TOLERANCE_MS = 60_000
"""How far a publisher's clock may be ahead of ours. A rate from later than that is none."""

_MID = re.compile(rf"[0-9]{{1,{MID_DIGITS}}}(?:\.[0-9]{{1,{MID_DIGITS}}})?", re.ASCII)


class RateInvalid(ValueError):
    """A number that is no rate. The message says why, as the end of a sentence."""


class Judgement(StrEnum):
    ACCEPTED = "accepted"
    HELD = "held"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is a phrase for the person who has to decide; empty where the rate was accepted."""

    judgement: Judgement
    reason: str = ""


def read_mid(text: str) -> Decimal:
    """Reads "1.0890". Raises RateInvalid for signs, exponents, blanks, other digits than 0-9, zero."""
    if _MID.fullmatch(text) is None:
        raise RateInvalid(f"must be at most {MID_DIGITS} digits, and after a point at most {MID_DIGITS} more")
    mid = Decimal(text)
    require_mid(mid)
    return mid


def require_mid(mid: Decimal) -> None:
    """Raises RateInvalid for what ``read_mid`` could not have read: nothing else is kept as a rate."""
    if not mid.is_finite():
        raise RateInvalid("must be a number")
    if mid <= 0:
        raise RateInvalid("must be above zero")
    exponent = mid.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent < -MID_DIGITS:
        raise RateInvalid(f"must have at most {MID_DIGITS} decimals")
    if mid.adjusted() >= MID_DIGITS:
        raise RateInvalid(f"must have at most {MID_DIGITS} digits before the point")


def judge(
    new: Rate,
    last_accepted: Rate | None,
    pair: Pair,
    *,
    last_from_source: Rate | None = None,
) -> Verdict:
    """Compares a rate with the last one of its pair that was accepted.

    ``last_from_source`` is the newest of the pair from the same source in any state: a feed that repeats
    what is held, or was rejected, is not heard again. Raises RateInvalid for a mid that is none.
    """
    require_mid(new.mid)
    if (new.base, new.quote) != (pair.base, pair.quote):
        raise ValueError(f"{new.base}/{new.quote} is judged as {pair.base}/{pair.quote}")
    passed_over = _why_ignored(new, last_accepted, last_from_source)
    if passed_over:
        return Verdict(Judgement.IGNORED, passed_over)
    suspicion = _why_held(new, last_accepted, pair)
    if suspicion:
        return Verdict(Judgement.HELD, suspicion)
    return Verdict(Judgement.ACCEPTED)


def needs_second_person(new: Rate, last_accepted: Rate | None, pair: Pair) -> bool:
    """Whether the person who pushed a rate may not be the one who confirms it.

    The first rate of a pair is compared with its peg, and with nothing where it has none.
    """
    known = last_accepted.mid if last_accepted else pair.peg
    return known is not None and differs(new.mid, known, by_more_than_bps=pair.two_person_bps)


def is_beyond_peg(mid: Decimal, pair: Pair) -> bool:
    return pair.peg is not None and differs(mid, pair.peg, by_more_than_bps=pair.peg_band_bps)


def differs(mid: Decimal, known: Decimal, *, by_more_than_bps: int) -> bool:
    """In ten thousandths of ``known``, exactly: a difference of just so many is none."""
    exact = Fraction(known)
    return abs(Fraction(mid) - exact) * WHOLE_BPS > exact * by_more_than_bps


def _why_ignored(new: Rate, last_accepted: Rate | None, last_from_source: Rate | None) -> str:
    if new.published_ms > new.received_ms + CLOCK_TOLERANCE_MS:
        return "published later than it was received"
    if any(known is not None and _repeats(new, known) for known in (last_accepted, last_from_source)):
        return "received before"
    if last_accepted is not None and new.published_ms < last_accepted.published_ms:
        return "published before the last one that was accepted"
    return ""


def _repeats(new: Rate, known: Rate) -> bool:
    return (new.source, new.published_ms, new.mid) == (known.source, known.published_ms, known.mid)


def _why_held(new: Rate, last_accepted: Rate | None, pair: Pair) -> str:
    if is_beyond_peg(new.mid, pair):
        return f"more than {pair.peg_band_bps} bps from its peg of {pair.peg}"
    if last_accepted is not None and differs(new.mid, last_accepted.mid, by_more_than_bps=pair.jump_bps):
        return f"more than {pair.jump_bps} bps from {last_accepted.mid}, the last one that was accepted"
    return ""

"""All rates of one moment, and the one that a conversion gets.

There is one way from a currency to another: their own pair, in either direction, and only without one a cross
through a pivot. Of pivots, the first that can be used counts. A pair of their own that can't be used refuses,
though a cross might be at hand: the operator has said what these two are to be compared by.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from fx.rate_checks import CLOCK_TOLERANCE_MS, is_beyond_peg
from fx.rate_locks import Multiplier, RateLock, Rounding, Side
from fx.rates import WHOLE_BPS, Pair, Rate, RateState, Spread


class RateUnusable(Exception):
    """There is no rate for these currencies that money may be moved at."""

    def __init__(self, currency: str, wallet_currency: str, why: str) -> None:
        super().__init__(f"{currency} in {wallet_currency}: {why}")
        self.currency = currency
        self.wallet_currency = wallet_currency


class RateUnknown(RateUnusable):
    """No way leads from the one currency to the other, or its rate is from the future."""

    def __init__(self, currency: str, wallet_currency: str) -> None:
        super().__init__(currency, wallet_currency, "there is no rate")


class RateStale(RateUnusable):
    """The rate is too old, since ``since_ms``."""

    def __init__(self, currency: str, wallet_currency: str, since_ms: int) -> None:
        super().__init__(currency, wallet_currency, f"the rate is stale since {since_ms}")
        self.since_ms = since_ms


class RateHeld(RateUnusable):
    """The only rate that is not too old waits for somebody to confirm it."""

    def __init__(self, currency: str, wallet_currency: str) -> None:
        super().__init__(currency, wallet_currency, "the rate is held")


class CurrencyDepegged(RateUnusable):
    """``depegged``, a stablecoin that the rate is made of, is not worth what it should be."""

    def __init__(self, currency: str, wallet_currency: str, depegged: str) -> None:
        super().__init__(currency, wallet_currency, f"{depegged} is beyond its band")
        self.depegged = depegged


@dataclass(frozen=True, slots=True)
class PairCondition:
    """How a pair is now. ``age_ms`` is its newest accepted rate's, None without one."""

    base: str
    quote: str
    age_ms: int | None
    stale_after_s: int
    is_usable: bool
    is_held: bool
    is_depegged: bool


class RateBook:
    """A snapshot: it is replaced, never changed. Safe to ask for every transaction.

    Of ``rates`` the newest accepted one of each pair is used; a held one counts while it is the newer one.
    Rates without a pair are not used. Of two pairs that are each other's inverse, the one whose base comes
    first in the alphabet is used both ways. ``pivots`` are codes in order of preference, ``scales`` the
    decimals of each currency.
    """

    def __init__(
        self,
        *,
        rates: Iterable[Rate],
        pairs: Iterable[Pair],
        spreads: Iterable[Spread],
        pivots: Sequence[str],
        scales: Mapping[str, int],
    ) -> None:
        self._pairs = tuple(pairs)
        self._legs = _legs_of(rates, self._pairs)
        self._spreads = {_scope_of(spread): spread.bps for spread in spreads}
        self._groups = frozenset(group for _, _, group, _ in self._spreads)
        self._pivots = tuple(pivots)
        self._scales = dict(scales)
        self._remembered: dict[tuple[str, str, Side, str], _Remembered] = {}

    def lock(
        self, currency: str, wallet_currency: str, *, side: Side, player_group: str, now_ms: int
    ) -> RateLock:
        """The rate of now. Raises RateUnusable, and ValueError for one currency given twice."""
        group = player_group if player_group in self._groups else ""
        asked = (currency, wallet_currency, side, group)
        remembered = self._remembered.get(asked)
        if remembered is None or now_ms not in remembered.usable_ms:
            remembered = self._remembered[asked] = self._made(*asked, now_ms=now_ms)
        return remembered.lock

    def conditions(self, now_ms: int) -> list[PairCondition]:
        """Of each pair, whether or not there was ever a rate."""
        return [_condition(pair, self._legs.get((pair.base, pair.quote)), now_ms) for pair in self._pairs]

    def _made(self, currency: str, wallet: str, side: Side, group: str, *, now_ms: int) -> "_Remembered":
        way = self._way(currency, wallet, now_ms)
        bps = self._spread_bps(currency, wallet, side, group)
        exact = Fraction(10) ** (self._scales[wallet] - self._scales[currency])
        for leg in way:
            exact *= leg.exact
        all_in = exact * Fraction(WHOLE_BPS + (bps if side is Side.PAID else -bps), WHOLE_BPS)
        oldest = min((leg.used for leg in way), key=lambda rate: rate.published_ms)
        lock = RateLock(
            currency,
            wallet,
            Multiplier.of(all_in, side.rounding),
            Multiplier.of(exact, Rounding.HALF_EVEN),
            side,
            bps,
            ".".join(str(leg.used.rate_id) for leg in way),
            oldest.published_ms,
            oldest.received_ms,
        )
        return _Remembered(lock, _common([leg.usable_ms for leg in way]))

    def _way(self, currency: str, wallet: str, now_ms: int) -> "tuple[_Leg, ...]":
        first_refusal: RateUnusable | None = None
        for way in self._ways(currency, wallet):
            refusal = _refusal(way, currency, wallet, now_ms)
            if refusal is None:
                return way
            if isinstance(refusal, CurrencyDepegged):
                raise refusal
            first_refusal = first_refusal or refusal
        raise first_refusal or RateUnknown(currency, wallet)

    def _ways(self, currency: str, wallet: str) -> "Iterator[tuple[_Leg, ...]]":
        if currency == wallet:
            raise ValueError(f"{currency} has no rate in itself")
        if currency not in self._scales or wallet not in self._scales:
            return
        direct = self._legs.get((currency, wallet))
        if direct is not None:
            yield (direct,)
            return
        for pivot in self._pivots:
            there, on = self._legs.get((currency, pivot)), self._legs.get((pivot, wallet))
            if there is not None and on is not None:
                yield there, on

    def _spread_bps(self, currency: str, wallet: str, side: Side, group: str) -> int:
        """Of the most specific spread: by its currencies, then by its group, then by its side."""
        currencies = ((currency, wallet), (currency, ""), ("", wallet), ("", ""))
        for (of, into), in_group, on_side in product(currencies, (group, ""), (side, None)):
            bps = self._spreads.get((of, into, in_group, on_side))
            if bps is not None:
                return bps
        return 0


@dataclass(frozen=True, slots=True)
class _Remembered:
    lock: RateLock
    usable_ms: range


@dataclass(frozen=True, slots=True)
class _Leg:
    """What is known of a pair, in one of its directions: the newest accepted rate, and a newer held one."""

    pair: Pair
    accepted: Rate | None
    held: Rate | None
    is_inverse: bool

    @property
    def used(self) -> Rate:
        assert self.accepted is not None
        return self.accepted

    @property
    def exact(self) -> Fraction:
        mid = Fraction(self.used.mid)
        return 1 / mid if self.is_inverse else mid

    @property
    def usable_ms(self) -> range:
        published_ms = self.used.published_ms
        return range(published_ms - CLOCK_TOLERANCE_MS, published_ms + self.pair.stale_after_s * 1000 + 1)

    @property
    def is_depegged(self) -> bool:
        known = [rate.mid for rate in (self.accepted, self.held) if rate is not None]
        return any(is_beyond_peg(mid, self.pair) for mid in known)


def _condition(pair: Pair, leg: _Leg | None, now_ms: int) -> PairCondition:
    accepted = None if leg is None else leg.accepted
    return PairCondition(
        pair.base,
        pair.quote,
        None if accepted is None else max(0, now_ms - accepted.published_ms),
        pair.stale_after_s,
        is_usable=leg is not None and _refusal((leg,), pair.base, pair.quote, now_ms) is None,
        is_held=leg is not None and leg.held is not None,
        is_depegged=leg is not None and leg.is_depegged,
    )


def _refusal(way: tuple[_Leg, ...], currency: str, wallet: str, now_ms: int) -> RateUnusable | None:
    """Why a way can't be used now. That a currency has lost its peg comes before all else."""
    for leg in way:
        if leg.is_depegged:
            return CurrencyDepegged(currency, wallet, leg.pair.base)
    for leg in way:
        if leg.accepted is None:
            return RateHeld(currency, wallet)
        if now_ms < leg.usable_ms.start:
            return RateUnknown(currency, wallet)
        if now_ms not in leg.usable_ms:
            since_ms = leg.usable_ms[-1]
            return RateHeld(currency, wallet) if leg.held else RateStale(currency, wallet, since_ms)
    return None


def _common(moments: Sequence[range]) -> range:
    return range(max(each.start for each in moments), min(each.stop for each in moments))


def _legs_of(rates: Iterable[Rate], pairs: Iterable[Pair]) -> dict[tuple[str, str], _Leg]:
    newest: dict[tuple[str, str, RateState], Rate] = {}
    for rate in sorted(rates, key=lambda rate: (rate.published_ms, rate.rate_id)):
        newest[rate.base, rate.quote, rate.state] = rate
    legs: dict[tuple[str, str], _Leg] = {}
    for pair in sorted(pairs, key=lambda pair: (pair.base, pair.quote)):
        accepted = newest.get((pair.base, pair.quote, RateState.ACCEPTED))
        held = newest.get((pair.base, pair.quote, RateState.HELD))
        if accepted and held and held.published_ms < accepted.published_ms:
            held = None
        if accepted or held:
            legs.setdefault((pair.base, pair.quote), _Leg(pair, accepted, held, is_inverse=False))
            legs.setdefault((pair.quote, pair.base), _Leg(pair, accepted, held, is_inverse=True))
    return legs


def _scope_of(spread: Spread) -> tuple[str, str, str, Side | None]:
    return spread.currency, spread.wallet_currency, spread.player_group, spread.side

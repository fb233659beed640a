"""What amounts are worth in a reporting currency, at one moment.

The rate is found the way that a conversion's is: the pair's own, or one divided by it, or a cross through a
pivot. But it may be of any age, and beyond a peg's band: a balance is drawn up on Sundays too, and what a
token has lost is part of the result. Whoever reads it is told which rate it was, and when it was published.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from fx.rate_book import RateBook, RateUnusable
from fx.rate_locks import RateLock, Side
from fx.rates import Pair, Rate

_FOR_EVER_S = 10**12


class Valuation:
    """Of ``rates``, those that were known at the moment count; all of them are accepted ones.

    ``pairs``, ``pivots`` and ``scales`` as a RateBook has them.
    """

    def __init__(
        self,
        reporting: str,
        *,
        at_ms: int,
        rates: Iterable[Rate],
        pairs: Iterable[Pair],
        pivots: Sequence[str],
        scales: Mapping[str, int],
    ) -> None:
        self._reporting = reporting
        self._at_ms = at_ms
        ageless = [replace(pair, stale_after_s=_FOR_EVER_S, peg=None, peg_band_bps=0) for pair in pairs]
        self._book = RateBook(rates=rates, pairs=ageless, spreads=(), pivots=pivots, scales=scales)

    def worth(self, currency: str, amount: int) -> Fraction | None:
        """Minor units, of ``currency`` and of the reporting currency. None where there is no rate."""
        if currency == self._reporting or amount == 0:
            return Fraction(amount)
        rate = self.rate(currency)
        return None if rate is None else amount * rate.mid.exact

    def rate(self, currency: str) -> RateLock | None:
        """The rate that it is valued at: its ``mid``. None for the reporting currency, too."""
        if currency == self._reporting:
            return None
        try:
            return self._book.lock(
                currency, self._reporting, side=Side.PAID, player_group="", now_ms=self._at_ms
            )
        except RateUnusable:
            return None

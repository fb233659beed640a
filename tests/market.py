"""A market that a test moves: rates between currencies, and why there is none."""

from dataclasses import dataclass, field
from fractions import Fraction

from fx.currencies import CurrencyStatus
from fx.rate_locks import Multiplier, RateLock, Rounding, Side
from persistence.errors import RefusalReason

SCALES = {"EUR": 2, "USD": 2, "BRL": 2, "JPY": 0, "KWD": 3, "BTC": 8, "ETH": 18}
_BPS = 10_000


@dataclass(slots=True)
class Market:
    """``rates`` are units of the second currency for one of the first, or the reason why none is told.

    A lock is made as the service makes one, of rates that were published at ``published_ms``.
    """

    rates: dict[tuple[str, str], str | RefusalReason] = field(default_factory=dict)
    spread_bps: int = 0
    published_ms: int = 1_700_000_000_000
    statuses: dict[str, CurrencyStatus] = field(default_factory=dict)
    offered: int = 0

    def offer(self, currency: str, wallet_currency: str, *, side: Side, player_group: str) -> str:
        self.offered += 1
        rate = self.rates.get((currency, wallet_currency), RefusalReason.RATE_UNKNOWN)
        told = (
            f"!{rate}" if isinstance(rate, RefusalReason) else str(self.lock(currency, wallet_currency, side))
        )
        status = self.statuses.get(wallet_currency, CurrencyStatus.ENABLED)
        return f"{wallet_currency};{status};{told}"

    def lock(self, currency: str, wallet_currency: str, side: Side) -> RateLock:
        rate = Fraction(self.rates[currency, wallet_currency])
        mid = rate * Fraction(10) ** (SCALES[wallet_currency] - SCALES[currency])
        spread = self.spread_bps if side is Side.PAID else -self.spread_bps
        return RateLock(
            currency,
            wallet_currency,
            Multiplier.of(mid * (_BPS + spread) / _BPS, Rounding.UP if side is Side.PAID else Rounding.DOWN),
            Multiplier.of(mid, Rounding.HALF_EVEN),
            side,
            self.spread_bps,
            "1",
            self.published_ms,
            self.published_ms + 5,
        )

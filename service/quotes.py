"""Gives quotes, and takes them back. A quote costs no I/O: all that it says is in itself, signed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from fx.amounts import MAX_DIGITS, format_amount
from fx.currencies import Currency
from fx.quotes import Quote, QuoteForged, least_sale, new_quote, read, sign
from fx.rate_locks import RateLock, Side
from persistence.errors import (
    FieldInvalid,
    LedgerUnavailable,
    QuoteAmountMismatch,
    QuoteInvalid,
    QuoteOfAnotherPlayer,
    QuoteSideMismatch,
)
from service.registry import CurrencyScales

_log = structlog.get_logger(__name__)

_EVERY_S = 10.0


class RateBoard(Protocol):
    """Knows the rates of now. service.rates.Rates is one."""

    def lock(self, currency: str, wallet_currency: str, *, side: Side, player_group: str) -> RateLock:
        """Raises what callers are told where there is none."""


@dataclass(frozen=True, slots=True)
class ExchangeSide:
    """One side of an exchange: a currency and, where it is named, an amount in minor units."""

    currency: Currency
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class QuoteLimits:
    """How long a quote may be asked to hold, and for how long after its end its exchange still counts."""

    longest_ms: int
    grace_ms: int


class Quotes:
    """``keys`` reads the secrets by their ids, the one that signs first."""

    def __init__(
        self,
        board: RateBoard,
        scales: CurrencyScales,
        keys: Callable[[], Awaitable[Mapping[str, bytes]]],
        limits: QuoteLimits,
        now_ms: Callable[[], int],
    ) -> None:
        self.limits = limits
        self._board = board
        self._scales = scales
        self._read_keys = keys
        self._now_ms = now_ms
        self._keys: Mapping[str, bytes] = {}

    async def refresh(self) -> None:
        """Reads the keys. Raises LedgerUnavailable."""
        self._keys = await self._read_keys()

    async def keep_fresh(self) -> None:
        """Refreshes for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.refresh()
            except LedgerUnavailable as error:
                _log.warning("quote_keys_not_refreshed", error=str(error))
            except Exception:
                _log.exception("quote_keys_not_refreshed")

    def give(
        self,
        *,
        source_id: str,
        player_id: str,
        sell: ExchangeSide,
        buy: ExchangeSide,
        valid_ms: int,
        player_group: str,
    ) -> tuple[Quote, str]:
        """A quote, and the text to bring back. One side names an amount. Raises FieldInvalid for amounts that
        buy nothing, and what the board raises.
        """
        lock = self._board.lock(
            sell.currency.code, buy.currency.code, side=Side.RECEIVED, player_group=player_group
        )
        quote = new_quote(
            source_id=source_id,
            player_id=player_id,
            lock=lock,
            sell_amount=least_sale(lock, buy.amount or 0) if sell.amount is None else sell.amount,
            expires_ms=self._now_ms() + valid_ms,
        )
        if quote.buy_amount == 0:
            raise FieldInvalid("sell_amount", f"must buy at least one minor unit of {buy.currency.code}")
        if not _fits(quote):
            named = "buy_amount" if sell.amount is None else "sell_amount"
            raise FieldInvalid(named, f"both amounts must have at most {MAX_DIGITS} digits in minor units")
        key_id, key = next(iter(self._keys.items()))
        return quote, sign(quote, key_id, key)

    def take(
        self,
        text: str,
        *,
        source_id: str,
        player_id: str,
        sell: ExchangeSide | None,
        buy: ExchangeSide | None,
    ) -> Quote:
        """The quote that was given to this player and source. Raises QuoteInvalid and QuoteMismatch."""
        try:
            quote = read(text, self._keys)
        except QuoteForged:
            raise QuoteInvalid from None
        if not _fits(quote):
            raise QuoteInvalid
        if not quote.is_of(source_id, player_id):
            raise QuoteOfAnotherPlayer
        sides = ((sell, quote.lock.currency), (buy, quote.lock.wallet_currency))
        if any(side is not None and side.currency.code != code for side, code in sides):
            raise QuoteSideMismatch("the quote is for other currencies", self._currencies_of(quote))
        amounts = ((sell, quote.sell_amount), (buy, quote.buy_amount))
        if any(side is not None and side.amount != amount for side, amount in amounts):
            raise QuoteAmountMismatch("the quote is for other amounts", self._amounts_of(quote))
        return quote

    def _currencies_of(self, quote: Quote) -> dict[str, str]:
        lock = quote.lock
        return {"sell_currency_code": lock.currency, "buy_currency_code": lock.wallet_currency}

    def _amounts_of(self, quote: Quote) -> dict[str, str]:
        sell_scale = self._scales.scale_of(quote.lock.currency)
        buy_scale = self._scales.scale_of(quote.lock.wallet_currency)
        return {
            "sell_amount": format_amount(quote.sell_amount, sell_scale),
            "buy_amount": format_amount(quote.buy_amount, buy_scale),
        }


def _fits(quote: Quote) -> bool:
    largest: int = 10**MAX_DIGITS - 1
    return quote.sell_amount <= largest and quote.buy_amount <= largest

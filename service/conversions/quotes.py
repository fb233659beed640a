"""Between the messages of quotes and exchanges and what they are about."""

from fx.amounts import AmountInvalid, format_amount, parse_amount
from fx.currencies import Currency, CurrencyStatus
from fx.quotes import Quote
from persistence.calls import Call
from persistence.errors import CurrencyDisabled, FieldInvalid
from persistence.exchanges import exchange_steps
from service.conversions.fields import (
    read_context,
    read_money,
    read_optional_id,
    read_player_id,
    read_transaction_id,
)
from service.conversions.rate_locks import rate_text
from service.conversions.times import timestamp_of_ms
from service.quotes import ExchangeSide, Quotes
from service.registry import CurrencyScales, Registry
from stakehold.v1 import money_pb2
from stakehold.v1 import wallet_service_pb2 as pb

_USUAL_VALID_MS = 30_000
_SHORTEST_VALID_MS = 1_000
_LONGEST_QUOTE = 512


def give_quote(request: pb.LockQuoteRequest, quotes: Quotes, registry: Registry) -> tuple[Quote, str]:
    """A new quote, and the text to bring back."""
    source = registry.source(request.source_id)
    sell = _open_currency(request.sell_currency_code, registry, "sell_currency_code")
    buy = _open_currency(request.buy_currency_code, registry, "buy_currency_code")
    if sell.code == buy.code:
        raise FieldInvalid("buy_currency_code", "must be another currency than what is sold")
    is_sale = request.WhichOneof("amount") == "sell_amount"
    if request.WhichOneof("amount") is None:
        raise FieldInvalid("sell_amount", "must be set, or buy_amount")
    return quotes.give(
        source_id=source.source_id,
        player_id=read_player_id(request.player_id),
        sell=ExchangeSide(sell, _amount(request.sell_amount, sell, "sell_amount") if is_sale else None),
        buy=ExchangeSide(buy, None if is_sale else _amount(request.buy_amount, buy, "buy_amount")),
        valid_ms=_valid_ms(request, quotes.limits.longest_ms),
        player_group=read_optional_id(request.player_group, "player_group"),
    )


def exchange_call(request: pb.ExchangeRequest, quotes: Quotes, registry: Registry) -> Call:
    source = registry.source(request.source_id)
    player_id = read_player_id(request.player_id)
    if len(request.quote_id) > _LONGEST_QUOTE:
        raise FieldInvalid("quote_id", f"must be at most {_LONGEST_QUOTE} characters")
    quote = quotes.take(
        request.quote_id,
        source_id=source.source_id,
        player_id=player_id,
        sell=ExchangeSide(*read_money(request.sell, registry, "sell")) if request.HasField("sell") else None,
        buy=ExchangeSide(*read_money(request.buy, registry, "buy")) if request.HasField("buy") else None,
    )
    occurred_ms, metadata = read_context(request, "")
    steps = exchange_steps(
        read_transaction_id(request.transaction_id, "transaction_id"),
        quote,
        sell_status=registry.currency(quote.lock.currency, "quote_id").status,
        buy_status=registry.currency(quote.lock.wallet_currency, "quote_id").status,
        grace_ms=quotes.limits.grace_ms,
        occurred_ms=occurred_ms,
        metadata=metadata,
    )
    return Call(player_id, source, steps)


def quote_message(quote: Quote, text: str, scales: CurrencyScales) -> pb.Quote:
    lock = quote.lock
    scale, buy_scale = scales.scale_of(lock.currency), scales.scale_of(lock.wallet_currency)
    return pb.Quote(
        quote_id=text,
        sell=money_pb2.Money(currency_code=lock.currency, amount=format_amount(quote.sell_amount, scale)),
        buy=money_pb2.Money(
            currency_code=lock.wallet_currency, amount=format_amount(quote.buy_amount, buy_scale)
        ),
        rate=rate_text(lock.rate, scale, buy_scale),
        mid_rate=rate_text(lock.mid, scale, buy_scale),
        spread_bps=lock.spread_bps,
        rate_id=lock.rate_id,
        published_time=timestamp_of_ms(lock.published_ms),
        expire_time=timestamp_of_ms(quote.expires_ms),
    )


def _open_currency(code: str, registry: Registry, field: str) -> Currency:
    currency = registry.currency(code, field)
    if currency.status is not CurrencyStatus.ENABLED:
        raise CurrencyDisabled(code)
    return currency


def _amount(text: str, currency: Currency, field: str) -> int:
    try:
        amount = parse_amount(text, currency.scale)
    except AmountInvalid as error:
        raise FieldInvalid(field, str(error)) from None
    if amount == 0:
        raise FieldInvalid(field, "must be above zero")
    return amount


def _valid_ms(request: pb.LockQuoteRequest, longest_ms: int) -> int:
    if not request.HasField("time_to_live"):
        return min(_USUAL_VALID_MS, longest_ms)
    duration = request.time_to_live
    valid_ms = duration.seconds * 1000 + duration.nanos // 1_000_000
    if not _SHORTEST_VALID_MS <= valid_ms <= longest_ms:
        raise FieldInvalid("time_to_live", f"must be 1 to {longest_ms / 1000:g} seconds")
    return valid_ms

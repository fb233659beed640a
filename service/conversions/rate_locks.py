"""Writes conversions as messages."""

from decimal import Decimal

from fx.amounts import format_amount
from fx.conversions import Conversion, RateOrigin
from fx.rate_locks import Multiplier
from service.conversions.times import timestamp_of_ms
from service.registry import CurrencyScales
from stakehold.v1 import money_pb2, transaction_pb2

_ORIGINS = {
    RateOrigin.CURRENT: transaction_pb2.RATE_ORIGIN_CURRENT,
    RateOrigin.ROUND: transaction_pb2.RATE_ORIGIN_ROUND,
    RateOrigin.REFERENCE: transaction_pb2.RATE_ORIGIN_REFERENCE,
    RateOrigin.QUOTE: transaction_pb2.RATE_ORIGIN_QUOTE,
}


def conversion_message(
    conversion: Conversion, converted: int, scales: CurrencyScales
) -> transaction_pb2.Conversion:
    """``converted`` is what the amount became, in minor units of the wallet's currency."""
    lock = conversion.lock
    scale, wallet_scale = scales.scale_of(lock.currency), scales.scale_of(lock.wallet_currency)
    return transaction_pb2.Conversion(
        requested=money_pb2.Money(
            currency_code=lock.currency, amount=format_amount(conversion.amount, scale)
        ),
        converted=money_pb2.Money(
            currency_code=lock.wallet_currency, amount=format_amount(converted, wallet_scale)
        ),
        rate=rate_text(lock.rate, scale, wallet_scale),
        mid_rate=rate_text(lock.mid, scale, wallet_scale),
        spread_bps=lock.spread_bps,
        rate_id=lock.rate_id,
        origin=_ORIGINS[conversion.origin],
        published_time=timestamp_of_ms(lock.published_ms),
        received_time=timestamp_of_ms(lock.received_ms),
    )


def rate_text(multiplier: Multiplier, scale: int, wallet_scale: int) -> str:
    """Units of the wallet's currency for one unit of the other, without an exponent."""
    return format(Decimal(multiplier.major(from_scale=scale, to_scale=wallet_scale)), "f")

"""Shows amounts as money."""

from fx.amounts import format_amount
from service.registry import CurrencyScales
from stakehold.v1 import money_pb2


def money_message(minor: int, currency: str, scales: CurrencyScales) -> money_pb2.Money:
    """An amount of minor units. Its currency has to be known to ``scales``."""
    return money_pb2.Money(currency_code=currency, amount=format_amount(minor, scales.scale_of(currency)))

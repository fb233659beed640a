"""An exchange is one call of two steps: what is sold, and what is bought at a quote's rate.

The two refer to each other, and the quote's own id is what the buying step is booked under: so a quote is
used once for the same reason that any id is.
"""

from fx.currencies import CurrencyStatus
from fx.quotes import Quote
from persistence.calls import Step
from persistence.transactions import CurrencyCode, Operation, TransactionId, TransactionKind
from persistence.valkey.requests import quoted_offer


def exchange_steps(
    transaction_id: TransactionId,
    quote: Quote,
    *,
    sell_status: CurrencyStatus,
    buy_status: CurrencyStatus,
    grace_ms: int,
    occurred_ms: int | None = None,
    metadata: str = "",
) -> tuple[Step, Step]:
    """The steps in their order. For ``grace_ms`` after a quote's end calls on their way still count."""
    lock = quote.lock
    sell, buy = CurrencyCode(lock.currency), CurrencyCode(lock.wallet_currency)
    bought_as = TransactionId(quote.transaction_id)
    sale = Step(
        Operation.DEBIT,
        TransactionKind.EXCHANGE,
        transaction_id,
        sell,
        quote.sell_amount,
        currency_status=sell_status,
        reference=bought_as,
        occurred_ms=occurred_ms,
        metadata=metadata,
        wallet_currency=sell,
    )
    purchase = Step(
        Operation.CREDIT,
        TransactionKind.EXCHANGE,
        bought_as,
        sell,
        quote.sell_amount,
        currency_status=sell_status,
        reference=transaction_id,
        occurred_ms=occurred_ms,
        wallet_currency=buy,
        offer=quoted_offer(lock, wallet_currency_status=buy_status, expires_ms=quote.expires_ms + grace_ms),
    )
    return sale, purchase

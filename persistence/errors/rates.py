"""Rates, and the quotes that are made of them."""

from collections.abc import Mapping

from persistence.errors.roots import FieldInvalid, NotFound, StakeholdError


class PairUnknown(NotFound):
    """The pair was never put."""

    def __init__(self, base: str, quote: str) -> None:
        super().__init__(f"the pair {base}/{quote} is not known")
        self.base = base
        self.quote = quote

    def metadata(self) -> Mapping[str, str]:
        return {"base": self.base, "quote": self.quote}


class RateNotFound(NotFound):
    """There is no rate of that id, or the pair had none at that time."""


class RateUnusable(StakeholdError):
    """There is no rate that an amount in ``currency`` may be converted at now."""

    def __init__(self, message: str, *, currency: str, wallet_currency: str) -> None:
        super().__init__(message)
        self.currency = currency
        self.wallet_currency = wallet_currency

    def metadata(self) -> Mapping[str, str]:
        return {"amount_currency_code": self.currency, "currency_code": self.wallet_currency}


class RateUnknown(RateUnusable):
    """No rate leads from the one currency to the other."""


class RateStale(RateUnusable):
    """The rate is too old."""


class RateHeld(RateUnusable):
    """The only rate that is not too old waits to be confirmed."""


class CurrencyDepegged(RateUnusable):
    """A stablecoin that the rate is made of has left its peg."""


class RateNotHeld(StakeholdError):
    """The rate does not wait for a decision, or was decided otherwise."""

    def __init__(self, rate_id: int, state: str) -> None:
        super().__init__(f"rate {rate_id} is {state} already")
        self.rate_id = rate_id
        self.state = state

    def metadata(self) -> Mapping[str, str]:
        return {"rate_id": str(self.rate_id), "state": self.state}


class SamePerson(StakeholdError):
    """Who pushed the rate may not confirm it: it differs too much."""

    def __init__(self, rate_id: int, pushed_by: str) -> None:
        super().__init__(f"rate {rate_id} was pushed by {pushed_by}, so that somebody else has to confirm it")
        self.rate_id = rate_id
        self.pushed_by = pushed_by

    def metadata(self) -> Mapping[str, str]:
        return {"rate_id": str(self.rate_id), "pushed_by": self.pushed_by}


class QuoteInvalid(FieldInvalid):
    """A text that is no quote of this service."""

    def __init__(self) -> None:
        super().__init__("quote_id", "must be a quote that this service has given")


class QuoteMismatch(StakeholdError):
    """A quote that does not fit the exchange that names it. ``quoted`` is what it says itself."""

    def __init__(self, problem: str, quoted: Mapping[str, str]) -> None:
        super().__init__(problem)
        self.quoted = quoted

    def metadata(self) -> Mapping[str, str]:
        return self.quoted


class QuoteOfAnotherPlayer(QuoteMismatch):
    """The quote was given to another player or source."""

    def __init__(self) -> None:
        super().__init__("the quote was given to another player or source", {})


class QuoteSideMismatch(QuoteMismatch):
    """The quote is for other currencies, or the other way round."""


class QuoteAmountMismatch(QuoteMismatch):
    """The quote is for other amounts."""

"""Above which amounts a withdrawal takes a second person's approval."""

from fx.amounts import AmountInvalid, parse_amount
from persistence.errors import CurrencyUnknown, SetupRefused
from service.registry import Registry


class ApprovalLimits:
    """``text`` is the setting's: ``EUR=1000,BTC=0.5``. Raises SetupRefused for a limit with more decimals
    than its currency has. A currency that is put later counts from then on.
    """

    def __init__(self, text: str, registry: Registry) -> None:
        pairs = (pair.partition("=") for pair in text.split(",") if pair)
        self._limits = {code: amount for code, _, amount in pairs}
        self._registry = registry
        for code in self._limits:
            self._require_readable(code)

    def needs_second(self, currency: str, amount: int) -> bool:
        """Whether so many minor units are more than the limit."""
        text = self._limits.get(currency)
        if text is None:
            return False
        try:
            return amount > parse_amount(text, self._registry.scale_of(currency))
        except AmountInvalid:
            # Of a currency that was put after the start, with fewer decimals.
            return True

    def _require_readable(self, code: str) -> None:
        try:
            scale = self._registry.currency(code, "").scale
        except CurrencyUnknown:
            return
        try:
            parse_amount(self._limits[code], scale)
        except AmountInvalid as error:
            raise SetupRefused(
                f"STAKEHOLD_SECOND_APPROVAL_ABOVE: {code}={self._limits[code]}: {error}"
            ) from error

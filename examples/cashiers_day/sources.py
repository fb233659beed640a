"""The payment services of the day: one for each policy about money that is gone. And where it goes."""

from examples.evening.lines import Line, Script, ok
from examples.evening.moves import Json

TRUSTING, CLAMPING, REJECTING = "day-cards", "day-transfers", "day-coins"
PAYMENT_SERVICES = (TRUSTING, CLAMPING, REJECTING)
SLOTS = "day-slots"

_SOURCES: tuple[Json, ...] = (
    {"sourceId": TRUSTING, "displayName": "Cards", "shortfall": "SHORTFALL_POLICY_NEGATIVE"},
    {"sourceId": CLAMPING, "displayName": "Bank transfers", "shortfall": "SHORTFALL_POLICY_CLAMP"},
    {"sourceId": REJECTING, "displayName": "Coins", "shortfall": "SHORTFALL_POLICY_REJECT"},
    {"sourceId": SLOTS, "displayName": "Slots"},
)


def opening(script: Script, at_s: int) -> None:
    """The operator's lines before the cashier opens."""
    for source in _SOURCES:
        script.lines.append(Line(at_s, "", "PutSource", {"source": source}, [ok()]))

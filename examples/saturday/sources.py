"""Who calls the wallet on Saturday, and the money that the stadium's kiosk counts in."""

from fractions import Fraction

from examples.evening.lines import Line, Script, ok
from examples.evening.money import EUR, Currency
from examples.evening.moves import Json

CASHIER = "saturday-cashier"
BOOK = "goalline"

OPENING_S = 9 * 3600
KRONA = Currency("XSK", 2, 500)
"""The stadium's own currency: rates for one that a service has in earnest are no demo's to set."""

MORNING_RATE, KICK_OFF_RATE = "0.0873", "0.0921"

_LIMITS: Json = {"staleAfterS": 366 * 86_400, "jumpBps": 1_000_000, "twoPersonBps": 1_000_000}


def locked(rate: str) -> Fraction:
    """What a slip in kronor locks. Both currencies have two decimals: so many cents for an öre."""
    return Fraction(rate)


def opening(script: Script) -> None:
    """The operator's lines before the kiosk opens."""
    for source_id, name in ((CASHIER, "The kiosk's cashier"), (BOOK, "Goalline sportsbook")):
        _tell(script, OPENING_S, "PutSource", {"source": {"sourceId": source_id, "displayName": name}})
    krona = {"currencyCode": KRONA.code, "displayName": "Stadium krona", "scale": KRONA.scale}
    kind = {"kind": "CURRENCY_KIND_FIAT", "status": "CURRENCY_STATUS_ENABLED"}
    _tell(script, OPENING_S, "PutCurrency", {"currency": krona | kind})
    _tell(script, OPENING_S, "PutPair", {"pair": {"base": KRONA.code, "quote": EUR.code} | _LIMITS})
    push_rate(script, OPENING_S, MORNING_RATE)


def push_rate(script: Script, at_s: int, rate: str) -> None:
    """The market moves; the play goes on when the service says so."""
    pushed = {"base": KRONA.code, "quote": EUR.code, "mid": rate, "publishedTime": "+0s"}
    _tell(script, at_s, "PushRates", {"source": "stadium", "rates": [pushed]}, pushed=["ACCEPTED"])
    asked = {"currencyCode": KRONA.code, "walletCurrencyCode": EUR.code, "side": "CONVERSION_SIDE_PAID"}
    line = Line(at_s, "", "GetConversion", asked, [ok(midRate=rate)], until_s=30)
    script.lines.append(line)


def _tell(script: Script, at_s: int, rpc: str, request: Json, **fields: object) -> None:
    script.lines.append(Line(at_s, "", rpc, request, [ok(**fields)]))

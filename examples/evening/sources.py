"""The five sources that call the wallet this evening."""

from examples.evening.lines import Line, Script, ok
from examples.evening.moves import Json

CASHIER = "cashier"
SLOTS = "reelworks"
CRASH = "comet"
SPORTSBOOK = "bookline"
LIVE = "velvet-live"

OPENING_S = 18 * 3600

SOURCES: tuple[Json, ...] = (
    {"sourceId": CASHIER, "displayName": "The cashier"},
    {"sourceId": SLOTS, "displayName": "Reelworks slots"},
    {"sourceId": CRASH, "displayName": "Comet, a crash game"},
    {"sourceId": SPORTSBOOK, "displayName": "Bookline sportsbook"},
    {"sourceId": LIVE, "displayName": "Velvet live dealers", "shortfall": "SHORTFALL_POLICY_CLAMP"},
)


def put_sources(script: Script) -> None:
    """The operator's lines before the doors open."""
    for source in SOURCES:
        script.lines.append(Line(OPENING_S - 60, "", "PutSource", {"source": source}, [ok()]))

"""What is played this Saturday: twelve matches, three of which do not end well."""

from dataclasses import dataclass
from enum import Enum, auto
from random import Random

TEAMS = (
    ("Aston", "Bilbao"),
    ("Catania", "Dundee"),
    ("Espoo", "Fortaleza"),
    ("Gent", "Haifa"),
    ("Izmir", "Jena"),
    ("Kaunas", "Lugano"),
    ("Malaga", "Nantes"),
    ("Odense", "Porto"),
    ("Quito", "Rijeka"),
    ("Sligo", "Turku"),
    ("Udine", "Varna"),
    ("Wigan", "Yalova"),
)


class Fate(Enum):
    """How a match ends for those who bet on it."""

    PLAYED = auto()
    WRONG_RESULT = auto()
    """The result that was told is wrong: the slips are settled anew."""
    PREMATURE = auto()
    """Settled before the goal was annulled: the slips are unsettled, and settled later."""
    ABANDONED = auto()
    """The floodlights fail: the slips are void."""


@dataclass(frozen=True, slots=True)
class Match:
    """A match with the odds in hundredths for home, draw and away."""

    name: str
    odds: dict[str, int]
    fate: Fate
    told: str
    final: str

    def payout(self, stake: int, pick: str, *, result: str) -> int:
        """What a stake on a pick gets, in minor units, rounded down; zero where it is lost."""
        return stake * self.odds[pick] // 100 if pick == result else 0


FATES = (Fate.WRONG_RESULT, Fate.PREMATURE, Fate.ABANDONED)


def matches(rng: Random) -> list[Match]:
    """All of the day's. The first three are those that do not end well."""
    return [_match(number, rng) for number in range(len(TEAMS))]


def _match(number: int, rng: Random) -> Match:
    home, away = TEAMS[number]
    odds = {pick: rng.randint(120, 480) for pick in "1X2"}
    fate = FATES[number] if number < len(FATES) else Fate.PLAYED
    told = rng.choice("1X2")
    corrected = fate in (Fate.WRONG_RESULT, Fate.PREMATURE)
    final = rng.choice([pick for pick in "1X2" if pick != told]) if corrected else told
    return Match(f"{home.lower()}-{away.lower()}", odds, fate, told, final)

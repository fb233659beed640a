"""``python -m examples.saturday`` writes ``examples/saturday.jsonl`` anew."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from examples.evening.lines import Script
from examples.evening.money import BTC, EUR, USD
from examples.saturday.afterwards import complains
from examples.saturday.in_play import watches
from examples.saturday.matches import Fate, Match, matches
from examples.saturday.placing import WAYS, expired, new_slip, placement
from examples.saturday.punter import Punter, Submission
from examples.saturday.sources import KICK_OFF_RATE, OPENING_S, opening, push_rate
from examples.saturday.whistle import corrections, final_whistle, follow, settles, tell

FILE = Path(__file__).parent.parent / "saturday.jsonl"
SEED = 20260221
PUNTERS = 180
SLIPS = 13
KIOSK_FOR = 30
"""Of so many players, one more plays at a kiosk that is offline when the whistle goes."""
EXPIRE_EVERY = 12

DOORS_S, KICK_OFF_S, BALL_S = OPENING_S + 60, 15 * 3600, 15 * 3600 + 60
WHISTLE_S, LATE_S, DECIDED_S = 17 * 3600, 17 * 3600 + 60, 17 * 3600 + 120
CORRECTED_S, COMPLAINTS_S, CLOSING_S = 18 * 3600, 19 * 3600, 23 * 3600


def saturday(*, punters: int = PUNTERS, slips: int = SLIPS, seed: int = SEED) -> Iterator[str]:
    """All lines of a Saturday of so many players, with so many slips each, in order."""
    rng, script = Random(seed), Script()
    day = matches(rng)
    opening(script)
    crowd = [_punter(f"punter-{number:03}", rng, script) for number in range(1, punters + 1)]
    for number, punter in enumerate(crowd):
        _morning(punter, day, slips=slips, expires=number % EXPIRE_EVERY == 0)
    late = [_punter(f"kiosk-9{number:02}", rng, script) for number in range(1 + punters // KIOSK_FOR)]
    for punter in late:
        punter.comes_in()
    push_rate(script, KICK_OFF_S, KICK_OFF_RATE)
    for punter in crowd:
        punter.clock_s = BALL_S + rng.randint(0, 1800)
        watches(punter)
    _whistle(crowd, late, day, script)
    for punter in crowd:
        punter.clock_s = COMPLAINTS_S + rng.randint(0, 1800)
        complains(punter)
    for punter in [*crowd, *late]:
        punter.clock_s = CLOSING_S
        punter.counts_slips()
        punter.counts_money()
    return script.in_order()


def _punter(player_id: str, rng: Random, script: Script) -> Punter:
    currency = rng.choices((EUR, USD, BTC), (7, 2, 1))[0]
    return Punter(player_id, rng, script, currency, DOORS_S + rng.randint(0, 3600))


def _morning(punter: Punter, day: Sequence[Match], *, slips: int, expires: bool) -> None:
    punter.comes_in()
    for _ in range(slips):
        punter.rng.choice(WAYS)(punter, punter.rng.choice(day))
        punter.wait(900)
    if expires:
        expired(punter, punter.rng.choice(day))


def _whistle(crowd: Sequence[Punter], late: Sequence[Punter], day: Sequence[Match], script: Script) -> None:
    """All is settled in the background; a kiosk was offline, and its slips come after their settlements."""
    submission = final_whistle(crowd, WHISTLE_S)
    played = [match for match in day if match.fate is Fate.PLAYED]
    for punter in late:
        punter.clock_s = LATE_S
        _from_the_kiosk(submission, punter, punter.rng.choice(played))
    tell(script, WHISTLE_S, submission)
    follow(script, DECIDED_S, submission)
    corrected = corrections(crowd, CORRECTED_S)
    tell(script, CORRECTED_S, corrected, stubborn=True)
    follow(script, CORRECTED_S, corrected)


def _from_the_kiosk(submission: Submission, punter: Punter, match: Match) -> None:
    slip = new_slip(punter, match)
    amount = punter.currency.chip_minor * 5
    body = placement(punter, slip, amount)
    punter.places_late(slip.slip_id, body, cash=slip.place(amount))
    settles(submission, punter, slip, match.told)


def write(file: Path = FILE) -> None:
    file.write_text("".join(saturday()), encoding="ascii")


if __name__ == "__main__":
    write()

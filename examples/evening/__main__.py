"""``python -m examples.evening`` writes ``examples/evening.jsonl`` anew."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from examples.evening.cashier import buys_in, pays_out
from examples.evening.games import GAMES
from examples.evening.guest import Guest
from examples.evening.lines import Script
from examples.evening.mishaps import MISHAPS
from examples.evening.money import ALL, POPULARITY
from examples.evening.refusals import REFUSALS
from examples.evening.sources import OPENING_S, put_sources

FILE = Path(__file__).parent.parent / "evening.jsonl"
SEED = 20260214
GUESTS = 220
SCENES = (*MISHAPS, *REFUSALS)


def evening() -> Iterator[str]:
    """All lines of the file, in order."""
    rng = Random(SEED)
    script = Script()
    put_sources(script)
    for number in range(GUESTS):
        visit(number, rng, script)
    return script.in_order()


def visit(number: int, rng: Random, script: Script) -> None:
    """One guest's evening: comes in, plays, meets with one or two mishaps, goes home."""
    guest = Guest(f"guest-{number + 1:03}", rng, script, OPENING_S + rng.randint(0, 3 * 3600))
    first = rng.choices(ALL, POPULARITY)[0]
    currencies = [first, *rng.sample([other for other in ALL if other != first], rng.choice((0, 0, 0, 1, 2)))]
    for currency in currencies:
        guest.open_wallet(currency)
    for currency in currencies:
        buys_in(guest, currency)
    scenes = [*rng.choices(GAMES, k=rng.randint(1, 3)), SCENES[number % len(SCENES)]]
    rng.shuffle(scenes)
    for scene in scenes:
        scene(guest, rng.choice(currencies))
        guest.wait(rng.randint(30, 900))
    if rng.random() < 0.5:
        pays_out(guest, rng.choice(currencies))
    guest.counts_money()


def write(file: Path = FILE) -> None:
    file.write_text("".join(evening()), encoding="ascii")


if __name__ == "__main__":
    write()

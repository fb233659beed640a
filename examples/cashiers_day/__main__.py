"""``python -m examples.cashiers_day`` writes ``examples/cashiers_day.jsonl`` anew."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from examples.cashiers_day.customer import Customer
from examples.cashiers_day.scenes import SCENES, pays_in
from examples.cashiers_day.sources import PAYMENT_SERVICES, opening
from examples.evening.lines import Script
from examples.evening.money import BTC, ETH, EUR, USD

FILE = Path(__file__).parent.parent / "cashiers_day.jsonl"
SEED = 20260504
CUSTOMERS = 99
OPENING_S = 8 * 3600


def day(*, customers: int = CUSTOMERS, seed: int = SEED) -> Iterator[str]:
    """All lines of a day of so many customers, in order."""
    rng, script = Random(seed), Script()
    opening(script, OPENING_S)
    for number in range(customers):
        currency = rng.choices((EUR, USD, BTC, ETH), (6, 3, 2, 1))[0]
        source = PAYMENT_SERVICES[number % len(PAYMENT_SERVICES)]
        came_s = OPENING_S + 60 + rng.randint(0, 6 * 3600)
        visit(Customer(f"customer-{number + 1:03}", rng, script, currency, source, came_s), number)
    return script.in_order()


def visit(customer: Customer, number: int) -> None:
    """One customer's business of the day."""
    customer.opens_wallet()
    pays_in(customer)
    scenes = [SCENES[number % len(SCENES)], *customer.rng.choices(SCENES, k=customer.rng.randint(1, 4))]
    for scene in scenes:
        customer.wait()
        scene(customer)
    customer.counts_money()


def write(file: Path = FILE) -> None:
    file.write_text("".join(day()), encoding="ascii")


if __name__ == "__main__":
    write()

"""The worked examples of docs/fx.md, read from its tables and worked out again."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from fx.amounts import AmountInvalid, format_amount, parse_amount
from fx.currencies import initial_currencies
from fx.denominations import Denomination
from fx.rate_book import RateBook
from fx.rate_locks import RateLock, Side, split
from fx.rates import WHOLE_BPS, Pair, Rate, Spread

PAGE = Path(__file__).parents[2] / "docs" / "fx.md"
SCALES = {currency.code: currency.scale for currency in initial_currencies()}


def tables_with(column: str) -> Iterator[dict[str, str]]:
    """The rows of all tables that have a column of that name, by their columns' names."""
    names: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            names = []
        elif not names:
            names = cells
        elif column in names and cells[0].strip("-"):
            yield dict(zip(names, cells, strict=True))


CONVERSIONS = list(tables_with("exactly"))
ROUND = list(tables_with("locked rate"))
UNITS = list(tables_with("denomination"))


@dataclass(frozen=True)
class Amount:
    minor: int
    currency: str

    @classmethod
    def read(cls, text: str) -> "Amount":
        digits, currency = text.split()
        return cls(parse_amount(digits, SCALES[currency]), currency)

    @property
    def scale(self) -> int:
        return SCALES[self.currency]


def locked(rates: str, amount: Amount, wallet: Amount, side: Side, spread_bps: str) -> RateLock:
    """``rates`` is written like "EUR/JPY 163.27, EUR/KWD 0.3352"."""
    named = [rate.replace("/", " ").split() for rate in rates.split(", ")]
    book = RateBook(
        rates=[
            Rate(number, "page", base, quote, Decimal(mid), published_ms=0, received_ms=0)
            for number, (base, quote, mid) in enumerate(named)
        ],
        pairs=[Pair(base, quote, stale_after_s=60, jump_bps=0, two_person_bps=0) for base, quote, _ in named],
        spreads=[Spread(int(spread_bps))],
        pivots=["EUR"],
        scales=SCALES,
    )
    return book.lock(amount.currency, wallet.currency, side=side, player_group="", now_ms=0)


def written_parts(lock: RateLock, amount: Amount, wallet: Amount) -> tuple[str, ...]:
    parts = split(lock, amount.minor, wallet.minor)
    return tuple(format_amount(part, wallet.scale) for part in (parts.position, parts.spread, parts.rounding))


def exactly(row: dict[str, str]) -> Fraction:
    """The row's amount at its rates, one after the other as they are written, and with its spread."""
    amount, wallet = Amount.read(row["amount"]), Amount.read(row["wallet"])
    exact, currency = Fraction(amount.minor, 10**amount.scale), amount.currency
    for rate in row["rates"].split(", "):
        base, quote, mid = rate.replace("/", " ").split()
        exact = exact * Fraction(mid) if base == currency else exact / Fraction(mid)
        currency = quote if base == currency else base
    assert currency == wallet.currency
    bps = int(row["spread bps"]) * (1 if row["is"] == "paid" else -1)
    return exact * Fraction(WHOLE_BPS + bps, WHOLE_BPS)


def number_of(text: str) -> str:
    return text.split(maxsplit=1)[0].lstrip("+-")


@pytest.mark.parametrize("row", CONVERSIONS, ids=lambda row: f"{row['amount']} {row['is']} {row['wallet']}")
def test_a_worked_example_is_what_comes_out(row: dict[str, str]) -> None:
    amount, wallet, side = Amount.read(row["amount"]), Amount.read(row["wallet"]), Side(row["is"])

    lock = locked(row["rates"], amount, wallet, side, row["spread bps"])
    converted = lock.rate.convert(amount.minor, side.rounding)

    assert format_amount(converted, wallet.scale) == number_of(row["wallet"])
    assert written_parts(lock, amount, wallet) == (row["position"], row["spread"], row["rounding"])


@pytest.mark.parametrize("row", CONVERSIONS, ids=lambda row: f"{row['amount']} {row['is']} {row['wallet']}")
def test_what_a_worked_example_calls_exact_is_so_or_begins_with_its_digits(row: dict[str, str]) -> None:
    exact, shown = exactly(row), row["exactly"].removesuffix("…")
    last_digit = Fraction(1, 10 ** len(shown.partition(".")[2]))

    if shown == row["exactly"]:
        assert exact == Fraction(shown)
    else:
        assert Fraction(shown) < exact < Fraction(shown) + last_digit


@pytest.mark.parametrize("row", ROUND, ids=lambda row: row["transaction"])
def test_a_rounds_transactions_are_converted_at_the_rate_that_its_bet_locked(row: dict[str, str]) -> None:
    amount = Amount.read(row["amount"])
    wallet = Amount.read(row["wallet"].lstrip("+-"))
    moved = Side.PAID if row["wallet"].startswith("-") else Side.RECEIVED

    lock = locked(f"USD/EUR {row['locked rate']}", amount, wallet, Side.PAID, row["spread bps"])
    converted = lock.rate.convert(amount.minor, moved.rounding)

    assert format_amount(converted, wallet.scale) == number_of(row["wallet"])
    assert written_parts(lock, amount, wallet) == (row["position"], row["spread"], row["rounding"])


@pytest.mark.parametrize("row", UNITS, ids=lambda row: f"{row['amount']} {row['denomination']}")
def test_an_amount_in_a_providers_unit_is_what_the_page_says(row: dict[str, str]) -> None:
    unit = Denomination(row["denomination"], row["currency"], int(row["exponent"]))
    scale = SCALES[unit.currency]

    if row["is"].startswith("refused"):
        with pytest.raises(AmountInvalid):
            unit.to_minor(row["amount"], scale)
    else:
        minor = unit.to_minor(row["amount"], scale)
        assert f"{format_amount(minor, scale)} {unit.currency}" == row["is"]


def test_the_page_has_its_examples() -> None:
    """A table that is renamed would not be read, and none of its rows tested."""
    assert len(UNITS) == 6
    assert len(ROUND) == 5
    assert {SCALES[row["wallet"].split()[1]] for row in CONVERSIONS} == {0, 2, 3, 8, 18}


def test_there_and_back_ends_with_what_the_text_says() -> None:
    there, back = CONVERSIONS[-2:]

    assert back["amount"] == there["wallet"]
    assert f"{there['amount']} come home as {number_of(back['wallet'])}." in PAGE.read_text(encoding="utf-8")

"""A file of rates is read strictly, and again when it was changed."""

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from fx.feeds.feed import FeedMalformed, FeedRate, FeedUnavailable
from fx.feeds.static_file import StaticFileFeed

EXAMPLES = Path(__file__).parents[2] / "examples"
PUBLISHED = "2026-11-20T16:00:00Z"
PUBLISHED_MS = 1_795_190_400_000
NOW_MS = PUBLISHED_MS + 5_000
LINE = {"base": "EUR", "quote": "USD", "mid": "1.0842", "published_time": PUBLISHED}
COLUMNS = "base,quote,mid,published_time"


def feed(path: Path) -> StaticFileFeed:
    return StaticFileFeed(path, now_ms=lambda: NOW_MS)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def lines(*changed: dict[str, object]) -> str:
    return json.dumps({"rates": [LINE | each for each in changed]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rates.json", lines({})),
        ("rates.csv", f"{COLUMNS}\nEUR,USD,1.0842,{PUBLISHED}\n"),
        ("rates.csv", f'\ufeff{COLUMNS}\r\nEUR, USD, "1.0842", 2026-11-20T17:00:00+01:00\r\n'),
    ],
)
async def test_rates_in_a_file(tmp_path: Path, name: str, text: str) -> None:
    rates = await feed(written(tmp_path / name, text)).fetch()

    assert rates == [FeedRate("EUR", "USD", Decimal("1.0842"), PUBLISHED_MS)]


@pytest.mark.parametrize("name", ["rates.json", "rates.csv"])
async def test_the_examples_are_good_and_say_the_same(name: str) -> None:
    rates = await feed(EXAMPLES / name).fetch()
    others = await feed(EXAMPLES / "rates.json").fetch()

    assert rates == others
    assert {rate.published_ms for rate in rates} == {NOW_MS}


async def test_a_rate_of_now_is_of_whenever_it_is_asked(tmp_path: Path) -> None:
    now_ms = NOW_MS
    fed = StaticFileFeed(
        written(tmp_path / "rates.json", lines({"published_time": "now"})), now_ms=lambda: now_ms
    )

    first = await fed.fetch()
    now_ms += 60_000
    second = await fed.fetch()

    assert [rate.published_ms for rate in (*first, *second)] == [NOW_MS, NOW_MS + 60_000]


async def test_a_file_is_read_again_when_it_was_changed_or_replaced_and_only_then(tmp_path: Path) -> None:
    path = written(tmp_path / "rates.json", lines({}))
    fed = feed(path)
    before = path.stat()
    await fed.fetch()

    written(path, lines({"mid": "9.9999"}))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [str(rate.mid) for rate in await fed.fetch()] == ["1.0842"]

    written(path, lines({"mid": "1.0900"}))
    assert [str(rate.mid) for rate in await fed.fetch()] == ["1.0900"]

    written(tmp_path / "new", lines({"mid": "1.0950"})).rename(path)
    assert [str(rate.mid) for rate in await fed.fetch()] == ["1.0950"]


async def test_a_file_that_is_gone_or_wrong_gives_nothing_until_it_is_good_again(tmp_path: Path) -> None:
    path = written(tmp_path / "rates.json", lines({}))
    fed = feed(path)
    good = await fed.fetch()

    written(path, "{")
    for _ in range(2):
        with pytest.raises(FeedMalformed):
            await fed.fetch()
    path.unlink()
    with pytest.raises(FeedUnavailable, match="No such file"):
        await fed.fetch()
    written(path, lines({}))

    assert await fed.fetch() == good


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("rates.json", "", id="nothing"),
        pytest.param("rates.json", "[]", id="a list"),
        pytest.param("rates.json", '{"rates": []}', id="no rates"),
        pytest.param("rates.json", lines({"mid": 1.0842}), id="a float"),
        pytest.param("rates.json", lines({"mid": 1}), id="a number"),
        pytest.param("rates.json", lines({"mid": "0"}), id="zero"),
        pytest.param("rates.json", lines({"mid": "-1"}), id="negative"),
        pytest.param("rates.json", lines({"mid": "1e3"}), id="exponent"),
        pytest.param("rates.json", lines({"mid": "1.0000000000000000001"}), id="19 decimals"),
        pytest.param("rates.json", lines({"base": "eur"}), id="small letters"),
        pytest.param("rates.json", lines({"quote": "EUR"}), id="in itself"),
        pytest.param("rates.json", lines({"note": "?"}), id="a field too many"),
        pytest.param("rates.json", lines({}, {"mid": "1.0843"}), id="a pair twice"),
        pytest.param("rates.json", lines({"published_time": "2026-11-20T16:00:00"}), id="no offset"),
        pytest.param("rates.json", lines({"published_time": "2026-11-20T16:02:00Z"}), id="to come"),
        pytest.param("rates.json", lines({"published_time": None}), id="no time"),
        pytest.param("rates.json", lines({}) + " " * (1 << 20), id="large"),
        pytest.param("rates.csv", "", id="empty CSV"),
        pytest.param("rates.csv", COLUMNS, id="CSV without rates"),
        pytest.param("rates.csv", f"b,q,mid,published_time\nEUR,USD,1.08,{PUBLISHED}", id="other columns"),
        pytest.param("rates.csv", f"{COLUMNS}\nEUR,USD,1.08", id="a short line"),
        pytest.param("rates.csv", f"{COLUMNS}\nEUR,USD,1.08,{PUBLISHED},x", id="a long line"),
        pytest.param("rates.csv", f'{COLUMNS}\nEUR,USD,"1.08,{PUBLISHED}', id="an open quote"),
    ],
)
async def test_a_file_that_is_wrong_anywhere_gives_nothing(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(FeedMalformed):
        await feed(written(tmp_path / name, text)).fetch()

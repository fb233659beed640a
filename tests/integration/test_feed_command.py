"""`stakehold feed` as an operator sees it: rates arrive, and whatever a feed does, good ones stay in use."""

import asyncio
import json
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from service.embedded import EmbeddedValkey
from service.embedded.children import Child, spawn
from service.embedded.ports import LOOPBACK, free_port
from stakehold.v1 import fx_service_pb2 as pb
from tests.deployment import ROOT, service_environment
from tests.fx_api import DAY_S, FxApi, PairApi, fx_api, now_ms
from tests.ledgers import Ledgers
from tests.rate_servers import Asked, RateServer, Reply, rate_server, reference_rates
from tests.serving import Grounds, grounds
from tests.waiting import until

CANNOT_START = 2
DEADLINE_S = 30.0
TOKEN = "hunter2"
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Service:
    """A running server."""

    address: str
    api: FxApi

    async def pair(self, base: str = "EUR", quote: str = "") -> PairApi:
        """One that is known, in a new currency unless told otherwise; a per cent is a jump."""
        made = PairApi(self.api, base, quote or await self.api.currency())
        await made.put(stale_after_s=10 * DAY_S)
        return made


@asynccontextmanager
async def served(ground: Grounds, address: str = f"{LOOPBACK}:0") -> AsyncIterator[Service]:
    async with ground.serving(listen=address) as server, fx_api(server.address) as api:
        yield Service(server.address, api)


@pytest_asyncio.fixture(scope="module")
async def service(ground: Grounds) -> AsyncIterator[Service]:
    """What tests share; each has pairs of its own."""
    async with served(ground) as made:
        yield made


@pytest_asyncio.fixture
async def source() -> AsyncIterator[RateServer]:
    async with rate_server() as made:
        yield made


@dataclass(frozen=True, slots=True)
class Feed:
    """A running `stakehold feed`."""

    child: Child

    def events(self, name: str = "") -> list[dict[str, object]]:
        """What it logged: whole lines, one event each."""
        text = self.child.log.read_text()
        events = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [event for event in events if name in {"", event["event"]}]

    async def rounds(self, name: str, *, more: int = 1) -> list[dict[str, object]]:
        """The next events of a name, as soon as there are so many."""
        before = len(self.events(name))

        async def has_more() -> bool:
            assert self.child.running, self.child.log_tail()
            return len(self.events(name)) >= before + more

        await until(has_more, what=f"{more} more of {name}", deadline_s=DEADLINE_S)
        return self.events(name)[before:]


def environment(target: str, **settings: str) -> dict[str, str]:
    feed = {"EVERY_S": "0.1", "TIMEOUT_S": "5", "TARGET": target, **settings}
    # Nothing but its own settings: not even where the ledger is.
    ours = {f"STAKEHOLD_FEED_{name}": value for name, value in feed.items()}
    kept = {
        name: value
        for name, value in service_environment("", "").items()
        if not name.startswith("STAKEHOLD_")
    }
    return {**kept, **ours, "NO_PROXY": LOOPBACK}


@asynccontextmanager
async def running(folder: Path, variables: Mapping[str, str]) -> AsyncIterator[Feed]:
    command = [sys.executable, "-m", "service.cli", "feed"]
    child = spawn("feed", command, log=folder / "feed.log", env=variables, cwd=ROOT)
    try:
        yield Feed(child)
    finally:
        await child.stop()
        said = child.log.read_text()
        assert "Traceback" not in said
        assert TOKEN not in said


@asynccontextmanager
async def ecb(folder: Path, target: str, source: RateServer, **settings: str) -> AsyncIterator[Feed]:
    variables = environment(target, KIND="ecb", URL=f"{source.url}?key={TOKEN}", **settings)
    async with running(folder, variables) as feed:
        yield feed


def bank(day: date, rates: Mapping[PairApi, str]) -> bytes:
    return reference_rates(day, {pair.quote: mid for pair, mid in rates.items()})


async def used(pair: PairApi) -> str:
    """The pair's rate that is used now, as everybody is told."""
    rate = await pair.rate_at(now_ms())
    assert rate.state == pb.RATE_STATE_ACCEPTED
    return rate.mid


async def test_rates_arrive_with_where_they_are_from_and_when_they_were_published(
    service: Service, source: RateServer, tmp_path: Path
) -> None:
    dollar, real = await service.pair(), await service.pair()
    krona = PairApi(service.api, "EUR", await service.api.currency())
    source.always(bank(YESTERDAY, {dollar: "1.0842", real: "5.8123", krona: "11.02"}), ETag='"v1"')

    async with ecb(tmp_path, service.address, source) as feed:
        first, second = (await feed.rounds("rates_pushed", more=2))[:2]
        not_used = feed.events("rate_not_used")

    rate = await dollar.rate_at(now_ms())
    assert (rate.source, rate.mid, rate.pushed_by) == ("ecb", "1.0842", "")
    assert rate.published_time.ToDatetime(UTC).date() == YESTERDAY
    assert rate.published_time.ToDatetime(UTC).hour in {14, 15}
    assert await used(real) == "5.8123"
    assert [
        (event["accepted"], event["ignored"], event["held"], event["refused"]) for event in (first, second)
    ] == [
        (2, 0, 0, 1),
        (0, 2, 0, 1),
    ]
    assert [(event["pair"], event["reception"]) for event in not_used] == [(f"EUR/{krona.quote}", "refused")]


async def test_an_outlier_is_held_and_the_rate_before_it_stays_in_use(
    service: Service, source: RateServer, tmp_path: Path
) -> None:
    dollar, real = await service.pair(), await service.pair()
    source.always(bank(YESTERDAY, {dollar: "1.0842", real: "5.81"}))
    async with ecb(tmp_path, service.address, source) as feed:
        await feed.rounds("rates_pushed")

        source.always(bank(TODAY, {dollar: "10.842", real: "5.82"}))
        (held,) = await feed.rounds("rate_not_used")
        await feed.rounds("rates_pushed", more=3)

        assert (held["pair"], held["mid"], held["reception"]) == (f"EUR/{dollar.quote}", "10.842", "held")
        assert await used(dollar) == "1.0842"
        assert await used(real) == "5.82"
        (waiting,) = await dollar.waiting()
        assert len(feed.events("rate_not_used")) == 1

        await dollar.confirm(waiting)
        assert await used(dollar) == "10.842"


def bad_days(dollar: PairApi, real: PairApi) -> dict[str, Reply]:
    """What a bank never sends, until it does. Whatever is good in it differs from what was sent before."""
    good = bank(TODAY, {dollar: "1.0850", real: "5.82"})
    bomb = b'<!DOCTYPE x [<!ENTITY a "1"><!ENTITY b "&a;&a;">]><gesmes:Envelope'
    return {
        "status 500": Reply(good, 500),
        "cut off": Reply(good, sent_bytes=len(good) - 40),
        "HTML": Reply(b"<!DOCTYPE html><html>Maintenance</html>"),
        "truncated": Reply(good[:-40]),
        "entity bomb": Reply(good.replace(b"<gesmes:Envelope", bomb)),
        "NaN": Reply(good.replace(b"5.82", b"NaN")),
        "negative": Reply(good.replace(b"5.82", b"-5.82")),
        "exponent": Reply(good.replace(b"5.82", b"5.82E0")),
        "wrong code": Reply(good.replace(real.quote.encode(), b"reais")),
        "to come": Reply(good.replace(str(TODAY).encode(), str(TODAY + timedelta(days=2)).encode())),
        "elsewhere": Reply(status=302, headers={"Location": "http://rates.invalid/"}),
        "large": Reply(good + b" " * (1 << 20)),
    }


async def test_whatever_comes_instead_changes_nothing_and_the_next_good_rates_are_taken(
    service: Service, source: RateServer, tmp_path: Path
) -> None:
    dollar, real = await service.pair(), await service.pair()
    source.always(bank(YESTERDAY, {dollar: "1.0842", real: "5.81"}))
    async with ecb(tmp_path, service.address, source) as feed:
        await feed.rounds("rates_pushed")

        for name, reply in bad_days(dollar, real).items():
            source.answer = partial(same, reply)
            asked = len(source.asked)
            failed = await feed.rounds("feed_failed", more=2)
            assert len(source.asked) > asked, name
            assert {event["level"] for event in failed} == {"warning"}, name
            assert (await used(dollar), await used(real)) == ("1.0842", "5.81"), name

        source.always(bank(TODAY, {dollar: "1.0851", real: "5.81"}))
        recovered = (await feed.rounds("rates_pushed"))[0]

    failures = recovered["failures_before"]
    assert isinstance(failures, int)
    assert failures >= 2 * len(bad_days(dollar, real))
    assert await used(dollar) == "1.0851"


def same(reply: Reply, _: Asked) -> Reply:
    return reply


async def test_a_source_that_is_out_or_silent_is_asked_until_it_is_back(
    service: Service, tmp_path: Path
) -> None:
    dollar = await service.pair()
    port = free_port()
    url = f"http://{LOOPBACK}:{port}/rates"
    variables = environment(service.address, KIND="ecb", URL=url, TIMEOUT_S="0.3")
    async with running(tmp_path, variables) as feed:
        failed = await feed.rounds("feed_failed", more=2)
        assert {event["cause"] for event in failed} == {"unavailable"}

        async with rate_server(port) as source:
            source.answer = lambda _: None
            silent = await feed.rounds("feed_failed", more=3)
            source.always(bank(YESTERDAY, {dollar: "1.0842"}))
            await feed.rounds("rates_pushed")

        await feed.rounds("feed_failed", more=2)

    assert "no answer within 0.3 s" in {event["error"] for event in silent}
    assert await used(dollar) == "1.0842"


async def test_an_old_document_brings_old_rates_which_are_ignored(
    service: Service, source: RateServer, tmp_path: Path
) -> None:
    dollar = await service.pair()
    source.always(bank(YESTERDAY, {dollar: "1.0842"}))
    async with ecb(tmp_path, service.address, source) as feed:
        await feed.rounds("rates_pushed")

        source.always(bank(YESTERDAY - timedelta(days=7), {dollar: "1.0801"}))
        events = await feed.rounds("rates_pushed", more=3)

    assert events[-1]["ignored"] == 1
    assert await used(dollar) == "1.0842"


async def test_a_feed_that_starts_before_the_service_tells_it_when_it_is_there_and_when_it_is_back(
    ground: Grounds, service: Service, source: RateServer, tmp_path: Path
) -> None:
    dollar = await service.pair()
    address = f"{LOOPBACK}:{free_port()}"
    source.always(bank(YESTERDAY, {dollar: "1.0842"}))
    async with ecb(tmp_path, address, source, EVERY_S="0.3") as feed:
        failed = await feed.rounds("feed_failed", more=2)
        assert {event["cause"] for event in failed} == {"push"}

        async with served(ground, address):
            await feed.rounds("rates_pushed")
            assert await used(dollar) == "1.0842"

        source.always(bank(TODAY, {dollar: "1.0851"}))
        await feed.rounds("feed_failed", more=2)

        async with served(ground, address):
            await feed.rounds("rates_pushed", more=2)
            assert await used(dollar) == "1.0851"


async def test_tickers_of_an_exchange_with_a_token(
    service: Service, source: RateServer, tmp_path: Path
) -> None:
    bitcoin = await service.pair("BTC", "USDT")
    tickers = [{"symbol": "BTCUSDT", "price": "97000.10"}, {"symbol": "ETHBTC", "price": "0.032"}]
    source.always(json.dumps(tickers).encode())
    token = tmp_path / "token"
    token.write_text(TOKEN)
    variables = environment(
        service.address,
        KIND="http_json",
        URL=source.url,
        PAIRS="BTC/USDT,ETH/USDT",
        TIME_FIELD="",
        TOKEN_FILE=str(token),
        SOURCE="exchange-1",
    )
    async with running(tmp_path, variables) as feed:
        await feed.rounds("rates_pushed")
        lacking = feed.events("feed_lacks_pairs")

    rate = await bitcoin.rate_at(now_ms())
    assert source.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert (rate.source, rate.mid) == ("exchange-1", "97000.10")
    assert [event["pairs"] for event in lacking] == [["ETH/USDT"]]


async def test_more_rates_than_fit_in_a_batch_all_arrive(
    service: Service, source: RateServer, tmp_path: Path
) -> None:
    pairs = [await service.pair() for _ in range(5)]
    source.always(bank(YESTERDAY, {pair: f"1.{index}" for index, pair in enumerate(pairs)}))

    async with ecb(tmp_path, service.address, source, BATCH_RATES="2") as feed:
        first = (await feed.rounds("rates_pushed"))[0]

    assert first["accepted"] == 5
    assert [await used(pair) for pair in pairs] == ["1.0", "1.1", "1.2", "1.3", "1.4"]


async def test_the_example_file_is_used_and_what_is_written_to_it(service: Service, tmp_path: Path) -> None:
    dollar = await service.pair("EUR", "USD")
    path = tmp_path / "rates.json"
    path.write_text((ROOT / "examples" / "rates.json").read_text())
    variables = environment(service.address, KIND="static_file", PATH=str(path), PAIRS="EUR/USD")
    async with running(tmp_path, variables) as feed:
        await feed.rounds("rates_pushed")
        assert await used(dollar) == "1.0842"

        (tmp_path / "new").write_text(path.read_text().replace("1.0842", "1.0851"))
        (tmp_path / "new").rename(path)
        await feed.rounds("rates_pushed", more=2)

    assert await used(dollar) == "1.0851"


async def test_metrics_tell_how_old_the_rates_are_and_what_failed(
    service: Service, source: RateServer, tmp_path: Path
) -> None:
    dollar = await service.pair()
    source.always(bank(YESTERDAY, {dollar: "1.0842"}))
    metrics = f"{LOOPBACK}:{free_port()}"
    variables = environment(service.address, KIND="ecb", URL=source.url)
    async with running(tmp_path, variables | {"STAKEHOLD_METRICS_LISTEN": metrics}) as feed:
        await feed.rounds("rates_pushed")
        source.always(b"garbage")
        await feed.rounds("feed_failed", more=2)
        lines = await asyncio.to_thread(_scrape, f"http://{metrics}/metrics")

    assert lines['stakehold_feed_rates_total{reception="accepted",source="ecb"}'] == 1
    assert lines['stakehold_feed_failures_total{cause="malformed",source="ecb"}'] >= 1
    assert 0 < lines['stakehold_feed_age_seconds{source="ecb"}'] < 2 * DAY_S
    assert lines['stakehold_feed_last_success_timestamp_seconds{source="ecb"}'] > time.time() - 60


def _scrape(url: str) -> dict[str, float]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10.0) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("silent", [False, True])
async def test_it_stops_at_once_when_it_is_told_to_also_while_it_waits_for_an_answer(
    source: RateServer, tmp_path: Path, number: signal.Signals, silent: bool
) -> None:
    if silent:
        source.answer = lambda _: None
    variables = environment(
        f"{LOOPBACK}:{free_port()}", KIND="ecb", URL=source.url, TIMEOUT_S="600", EVERY_S="600"
    )
    async with running(tmp_path, variables) as feed:
        if silent:
            await until(lambda: _is(bool(source.asked)), what="it asks", deadline_s=DEADLINE_S)
        else:
            await feed.rounds("feed_failed")

        feed.child.process.send_signal(number)
        async with asyncio.timeout(DEADLINE_S):
            status = await feed.child.exited()

    assert status == 0
    assert [event["event"] for event in feed.events()][-1] == "stopped"


async def _is(value: bool) -> bool:
    return value


async def test_a_setting_that_makes_no_sense_is_told_in_a_sentence(tmp_path: Path) -> None:
    variables = environment("nowhere", KIND="ecb")
    async with running(tmp_path, variables) as feed:
        assert await feed.child.exited() == CANNOT_START

    assert feed.child.log.read_text().splitlines() == [
        "STAKEHOLD_FEED_TARGET: must be host:port",
        "see `stakehold feed --help`",
    ]

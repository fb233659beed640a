"""Rounds go on whatever the feed and the service do, and say what became of the rates."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from fx.feeds.feed import FeedMalformed, FeedRate, FeedUnavailable, PairName
from service.feeding.metrics import FeedMetrics
from service.feeding.pushing import PushFailed, Received, Reception
from service.feeding.rounds import Feeding, Pace, jitter

NOW_MS = 1_795_190_400_000
TOKEN = "hunter2"


def rate(pair: str, mid: str = "1.5", *, age_s: int = 5) -> FeedRate:
    base, quote = pair.split("/")
    return FeedRate(base, quote, Decimal(mid), NOW_MS - age_s * 1000)


EUR_USD, EUR_BRL = rate("EUR/USD"), rate("EUR/BRL", "5.81", age_s=60)


class Says:
    """A feed that gives or raises one thing after the other, and the last one for ever."""

    name = "says"

    def __init__(self, *answers: Sequence[FeedRate] | Exception) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def fetch(self) -> Sequence[FeedRate]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Service:
    """Takes rates as ``judge`` says, or is away."""

    def __init__(self) -> None:
        self.pushed: list[Sequence[FeedRate]] = []
        self.away = False
        self.judge: Callable[[FeedRate], Received] = lambda rate: Received(rate, Reception.ACCEPTED)

    async def push(self, rates: Sequence[FeedRate]) -> Sequence[Received]:
        if self.away:
            raise PushFailed("UNAVAILABLE")
        self.pushed.append(rates)
        return [self.judge(each) for each in rates]


class Fed:
    """A feed, a service, and what is between them."""

    def __init__(
        self, feed: Says, *, wanted: frozenset[PairName] | None = None, every_s: float = 3600.0
    ) -> None:
        self.feed, self.service, self.registry = feed, Service(), CollectorRegistry()
        self.feeding = Feeding(
            feed,
            self.service,
            wanted=wanted,
            pace=Pace(every_s),
            metrics=FeedMetrics(self.registry, source="test", now_ms=lambda: NOW_MS),
            jitter=lambda: 1.0,
        )

    async def rounds(self, count: int) -> list[dict[str, object]]:
        """The events that they logged."""
        with capture_logs() as logs:
            for _ in range(count):
                await self.feeding.round()
        return [dict(event) for event in logs]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"stakehold_feed_{name}", {"source": "test", **labels})


def named(events: Sequence[dict[str, object]], name: str) -> list[dict[str, object]]:
    return [event for event in events if event["event"] == name]


async def test_a_round_tells_the_service_every_rate_and_the_log_how_many_were_what() -> None:
    fed = Fed(Says([EUR_USD, EUR_BRL]))

    (event,) = await fed.rounds(1)

    assert fed.service.pushed == [[EUR_USD, EUR_BRL]]
    assert event["event"] == "rates_pushed"
    assert (event["rates"], event["accepted"], event["held"], event["ignored"], event["refused"]) == (
        2,
        2,
        0,
        0,
        0,
    )
    assert fed.metric("rates_total", reception="accepted") == 2
    assert fed.metric("age_seconds") == 60
    assert fed.metric("last_success_timestamp_seconds") == NOW_MS / 1000


async def test_only_wanted_pairs_are_pushed_and_those_that_lack_are_told_once() -> None:
    wanted = frozenset({PairName("EUR", "USD"), PairName("EUR", "SEK")})
    fed = Fed(Says([EUR_USD, EUR_BRL]), wanted=wanted)

    events = await fed.rounds(3)

    assert fed.service.pushed == [[EUR_USD]] * 3
    (lacking,) = named(events, "feed_lacks_pairs")
    assert lacking["pairs"] == ["EUR/SEK"]
    assert fed.metric("missing_pairs") == 1
    assert fed.metric("age_seconds") == 5


async def test_a_feed_without_any_wanted_pair_has_failed() -> None:
    fed = Fed(Says([EUR_USD]), wanted=frozenset({PairName("EUR", "SEK")}))

    events = await fed.rounds(1)

    assert [event["cause"] for event in named(events, "feed_failed")] == ["malformed"]
    assert not fed.service.pushed


async def test_what_is_held_is_told_each_time_and_what_is_refused_once_for_a_reason() -> None:
    fed = Fed(Says([EUR_USD, EUR_BRL]))
    reasons = iter(["pair unknown", "pair unknown", "source unknown"])

    def judge(rate: FeedRate) -> Received:
        if rate.pair == EUR_USD.pair:
            return Received(rate, Reception.HELD, "jumped")
        return Received(rate, Reception.REFUSED, next(reasons))

    fed.service.judge = judge
    events = await fed.rounds(3)

    told = [(event["pair"], event["reception"], event["reason"]) for event in named(events, "rate_not_used")]
    assert told == [
        ("EUR/USD", "held", "jumped"),
        ("EUR/BRL", "refused", "pair unknown"),
        ("EUR/USD", "held", "jumped"),
        ("EUR/USD", "held", "jumped"),
        ("EUR/BRL", "refused", "source unknown"),
    ]
    assert [event["refused"] for event in named(events, "rates_pushed")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (FeedUnavailable("answered with status 500"), "unavailable"),
        (FeedMalformed("no XML"), "malformed"),
        (KeyError(TOKEN), "bug"),
        (RecursionError(TOKEN), "bug"),
        (ExceptionGroup(TOKEN, [ValueError(TOKEN)]), "bug"),
    ],
)
async def test_whatever_a_feed_does_is_told_counted_and_over(failure: Exception, cause: str) -> None:
    fed = Fed(Says(failure, failure, [EUR_USD]))

    events = await fed.rounds(3)

    failed = named(events, "feed_failed")
    assert [(event["cause"], event["failures"], event["log_level"]) for event in failed] == [
        (cause, 1, "warning"),
        (cause, 2, "warning"),
    ]
    assert TOKEN not in str(events)
    (recovered,) = named(events, "rates_pushed")
    assert recovered["failures_before"] == 2
    assert fed.metric("failures_total", cause=cause) == 2
    assert fed.service.pushed == [[EUR_USD]]


async def test_rates_that_the_service_was_not_told_are_kept_until_others_are_due() -> None:
    fed = Fed(Says([EUR_USD], [EUR_BRL]))
    fed.service.away = True
    await fed.rounds(3)
    assert fed.feed.asked == 1

    fed.service.away = False
    await fed.rounds(2)

    assert fed.service.pushed == [[EUR_USD], [EUR_BRL]]
    assert fed.metric("failures_total", cause="push") == 3


async def test_rates_that_the_service_was_not_told_in_time_are_fetched_again() -> None:
    fed = Fed(Says([EUR_USD], [EUR_BRL]), every_s=1e-9)
    fed.service.away = True
    await fed.rounds(1)
    await asyncio.sleep(0.001)

    fed.service.away = False
    await fed.rounds(1)

    assert fed.service.pushed == [[EUR_BRL]]


def test_pauses_after_failures_grow_up_to_the_interval() -> None:
    pace = Pace(60.0)

    assert [pace.pause_s(failures=count) for count in (0, 1, 2, 3, 6, 7, 5000)] == [60, 1, 2, 4, 32, 60, 60]
    assert Pace(0.5).pause_s(failures=1) == 0.5


def test_pauses_differ_by_a_tenth_at_most() -> None:
    drawn = [jitter() for _ in range(1000)]

    assert 0.9 <= min(drawn) < 0.95
    assert 1.05 < max(drawn) <= 1.1


async def test_running_goes_from_round_to_round_until_it_is_cancelled() -> None:
    fed = Fed(Says(FeedUnavailable("away"), [EUR_USD]), every_s=0.001)
    enough = asyncio.Event()

    def judge(rate: FeedRate) -> Received:
        if len(fed.service.pushed) > 3:
            enough.set()
        return Received(rate, Reception.IGNORED, "received before")

    fed.service.judge = judge
    with capture_logs():
        task = asyncio.create_task(fed.feeding.run())
        await asyncio.wait_for(enough.wait(), 10.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

"""Asks a feed again and again, and tells the service what it says.

Nothing that a feed does ends this. A feed that is out takes no rate away: how long one may be used is the
service's to decide, by when it was published.
"""

import asyncio
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from fx.feeds.feed import Feed, FeedMalformed, FeedRate, FeedUnavailable, PairName
from service.feeding.metrics import Failure, FeedMetrics
from service.feeding.pushing import Pusher, PushFailed, Received, Reception

_log = structlog.get_logger(__name__)

_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class _Fetched:
    """Rates, and until when of the loop's clock they need not be fetched again."""

    rates: Sequence[FeedRate]
    until_s: float


@dataclass(frozen=True, slots=True)
class Pace:
    """A round every so often, give or take a tenth; sooner after a failure, but less and less soon."""

    every_s: float
    first_retry_s: float = 1.0

    def pause_s(self, *, failures: int) -> float:
        """Before the next round, after so many failures in a row."""
        if failures == 0:
            return self.every_s
        return min(self.every_s, self.first_retry_s * 2.0 ** min(failures - 1, 30))


def jitter() -> float:
    """So that many feeds that were started at once do not go on asking at once."""
    return random.uniform(1 - _JITTER, 1 + _JITTER)


class Feeding:
    """Carries one feed's rates to the service. ``wanted`` are the pairs to carry, None for all."""

    def __init__(
        self,
        feed: Feed,
        pusher: Pusher,
        *,
        wanted: frozenset[PairName] | None,
        pace: Pace,
        metrics: FeedMetrics,
        jitter: Callable[[], float] = jitter,
    ) -> None:
        self._feed = feed
        self._pusher = pusher
        self._wanted = wanted
        self._pace = pace
        self._metrics = metrics
        self._jitter = jitter
        self._failures = 0
        self._unpushed: _Fetched | None = None
        self._missing: frozenset[PairName] = frozenset()
        self._refusals: dict[PairName, str] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(self._pace.pause_s(failures=self._failures) * self._jitter())

    async def round(self) -> None:
        """Fetches and pushes once. Whatever goes wrong is told, counted, and over."""
        try:
            rates = await self._fetched()
            received = await self._pushed(rates)
        except FeedUnavailable as error:
            self._fail(Failure.UNAVAILABLE, str(error))
        except FeedMalformed as error:
            self._fail(Failure.MALFORMED, str(error))
        except PushFailed as error:
            self._fail(Failure.PUSH, str(error))
        except Exception as error:
            # A feed is others' doing, and so may be more than anybody thought of. Only the type is told: what
            # else an unknown exception says may be a secret.
            self._fail(Failure.BUG, f"{type(error).__name__} at {_place(error)}")
        else:
            self._succeed(received)

    async def _fetched(self) -> Sequence[FeedRate]:
        """The wanted rates. Those that the service was not told are not fetched again before their time."""
        now_s = asyncio.get_running_loop().time()
        if self._unpushed and now_s < self._unpushed.until_s:
            return self._unpushed.rates
        self._unpushed = None
        fetched = await self._feed.fetch()
        rates = [rate for rate in fetched if self._wanted is None or rate.pair in self._wanted]
        self._note_missing(rates)
        if not rates:
            raise FeedMalformed("none of the wanted rates")
        self._metrics.set_oldest_ms(min(rate.published_ms for rate in rates))
        self._unpushed = _Fetched(rates, now_s + self._pace.every_s)
        return rates

    async def _pushed(self, rates: Sequence[FeedRate]) -> Sequence[Received]:
        received = await self._pusher.push(rates)
        self._unpushed = None
        return received

    def _note_missing(self, rates: Sequence[FeedRate]) -> None:
        missing = (self._wanted or frozenset()) - {rate.pair for rate in rates}
        self._metrics.set_missing(len(missing))
        if missing - self._missing:
            _log.warning("feed_lacks_pairs", feed=self._feed.name, pairs=sorted(map(str, missing)))
        self._missing = missing

    def _fail(self, cause: Failure, error: str) -> None:
        self._failures += 1
        self._metrics.count_failure(cause)
        _log.warning(
            "feed_failed",
            feed=self._feed.name,
            cause=cause.value,
            error=error,
            failures=self._failures,
            next_s=self._pace.pause_s(failures=self._failures),
        )

    def _succeed(self, received: Sequence[Received]) -> None:
        counts = Counter(each.reception for each in received)
        self._metrics.count_success(counts)
        for each in self._worth_telling(received):
            _log.warning(
                "rate_not_used",
                reception=each.reception.value,
                pair=str(each.rate.pair),
                mid=format(each.rate.mid, "f"),
                reason=each.reason,
            )
        _log.info(
            "rates_pushed",
            feed=self._feed.name,
            rates=len(received),
            **{reception.value: counts[reception] for reception in Reception},
            failures_before=self._failures,
        )
        self._failures = 0

    def _worth_telling(self, received: Sequence[Received]) -> Iterator[Received]:
        """What is held, for it waits for a person; what is refused, but for the same reason only once."""
        refusals = {each.rate.pair: each.reason for each in received if each.reception is Reception.REFUSED}
        for each in received:
            refused_anew = each.rate.pair in refusals and self._refusals.get(each.rate.pair) != each.reason
            if refused_anew or each.reception is Reception.HELD:
                yield each
        self._refusals = refusals


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].name}:{frames[-1].lineno}"

"""What Prometheus is told about the rates of now: looked at when it asks, and never on the way of a call.

The label ``pair`` has the pairs that operators have put, and no others.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fx.rate_book import PairCondition

_FAMILIES: tuple[tuple[str, str, Callable[[PairCondition], float]], ...] = (
    (
        "stakehold_fx_rate_age_seconds",
        "Since the newest usable rate of the pair was published; NaN where there is none.",
        lambda pair: math.nan if pair.age_ms is None else pair.age_ms / 1000,
    ),
    (
        "stakehold_fx_rate_stale_after_seconds",
        "The age from which a rate of the pair is not used any more.",
        lambda pair: float(pair.stale_after_s),
    ),
    (
        "stakehold_fx_rate_usable",
        "1 while there is a rate that money may be moved at.",
        lambda pair: float(pair.is_usable),
    ),
    (
        "stakehold_fx_rate_held",
        "1 while a newer rate of the pair waits for somebody to confirm it.",
        lambda pair: float(pair.is_held),
    ),
    (
        "stakehold_fx_depegged",
        "1 while the pair's base is beyond the band around its peg.",
        lambda pair: float(pair.is_depegged),
    ),
)


class RateCollector(Collector):
    """Asks for the pairs' conditions whenever it is asked."""

    def __init__(
        self, registry: CollectorRegistry, conditions: Callable[[], Sequence[PairCondition]]
    ) -> None:
        self._conditions = conditions
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return _families(self._conditions())

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return _families(())


def _families(conditions: Sequence[PairCondition]) -> Iterator[GaugeMetricFamily]:
    for name, help_, value_of in _FAMILIES:
        family = GaugeMetricFamily(name, help_, labels=["pair"])
        for condition in conditions:
            family.add_metric([f"{condition.base}/{condition.quote}"], value_of(condition))
        yield family

"""Spans wait in a queue that ends somewhere, for a collector that may never come."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from persistence.errors import SetupRefused
from service.telemetry.exporting import MOST_WAITING, SpanSender
from service.telemetry.opening import open_traces
from service.telemetry.spans import MOST_LINKS, Spans
from service.telemetry.trace_metrics import TraceMetrics
from service.telemetry.trace_settings import TraceSettings, read_trace_settings


class Gate(SpanExporter):
    """Takes spans once it is opened; fails while it is told to."""

    def __init__(self) -> None:
        self.asked, self.opened = threading.Event(), threading.Event()
        self.fails = False
        self.taken: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.opened.wait()
        if self.fails:
            raise RuntimeError("a bug of the library")
        self.taken += spans
        return SpanExportResult.SUCCESS


class Counted:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.gate = Gate()
        self.sender = SpanSender(self.gate, TraceMetrics(self.registry))
        self.spans = Spans(Resource({}), self.sender)

    def make(self, count: int) -> None:
        for _ in range(count):
            self.spans.begin("x").end()

    def dropped(self, cause: str) -> float:
        return self.registry.get_sample_value("stakehold_trace_spans_dropped_total", {"cause": cause}) or 0.0

    @property
    def exported(self) -> float:
        return self.registry.get_sample_value("stakehold_trace_spans_exported_total") or 0.0


@contextmanager
def counted() -> Iterator[Counted]:
    made = Counted()
    try:
        yield made
    finally:
        made.gate.opened.set()
        made.sender.close(10.0)


def test_what_is_made_before_the_end_is_sent_at_the_end() -> None:
    with counted() as made:
        made.gate.opened.set()
        made.make(100)
        made.sender.close(10.0)

        assert (len(made.gate.taken), made.exported) == (100, 100)
        made.make(1)
        assert made.dropped("shutdown") == 1


def test_the_queue_of_a_collector_that_hangs_is_bounded_and_what_does_not_fit_is_counted() -> None:
    with counted() as made:
        made.make(1)
        made.gate.asked.wait()

        made.make(MOST_WAITING + 5)

        assert made.dropped("queue") == 5


def test_the_end_waits_for_a_collector_that_hangs_no_longer_than_it_may() -> None:
    with counted() as made:
        made.make(1)
        made.gate.asked.wait()
        made.make(7)

        made.sender.close(0.01)

        assert made.dropped("shutdown") == 8
        assert not made.gate.taken


def test_whatever_the_exporter_raises_is_counted_and_the_next_ones_are_sent() -> None:
    with counted() as made:
        made.gate.fails = True
        made.make(1)
        made.gate.opened.set()
        made.sender.close(10.0)

        assert (made.dropped("export"), made.exported) == (1, 0)


def test_a_span_has_no_more_links_than_the_limit() -> None:
    with counted() as made:
        links = [made.spans.begin("x").get_span_context() for _ in range(MOST_LINKS + 10)]
        made.spans.begin("batch", links=links).end()
        made.gate.opened.set()
        made.sender.close(10.0)

        [batch] = made.gate.taken
        assert len(batch.links) == MOST_LINKS


@pytest.mark.parametrize(
    "endpoint",
    [
        "collector:4318",
        "ftp://collector/",
        "http://",
        "http://me:secret@collector/",
        "http://collector/?key=secret",
    ],
)
def test_an_endpoint_with_credentials_or_without_a_host_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TraceSettings(traces_endpoint=endpoint)

    assert "secret" not in str(caught.value)


def test_settings_that_are_none_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAKEHOLD_TRACES_RATIO", "2")
    monkeypatch.setenv("STAKEHOLD_TRACES_ENDPOINT", "http://me:secret@collector/")

    with pytest.raises(SetupRefused) as caught:
        read_trace_settings()

    assert "STAKEHOLD_TRACES_RATIO: Input should be less than or equal to 1" in str(caught.value)
    assert "STAKEHOLD_TRACES_HEADERS_FILE" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_headers_that_cannot_be_read_are_refused_without_being_told(tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.write_text("authorization: Bearer fine\n\nsecret without a name\n")

    for path, why in ((headers, "line 3"), (tmp_path / "missing", "cannot be read")):
        settings = TraceSettings(traces_endpoint="http://127.0.0.1:1/v1/traces", traces_headers_file=path)
        with pytest.raises(SetupRefused, match=why) as caught:
            async with open_traces(settings, CollectorRegistry(), role="serve"):
                pass
        assert "secret" not in str(caught.value)


async def test_who_traces_nothing_has_no_metrics_of_traces() -> None:
    registry = CollectorRegistry()

    async with open_traces(TraceSettings(), registry, role="serve") as traces:
        assert not traces.interceptors()
        assert traces.commands("x") is None

    assert not list(registry.collect())

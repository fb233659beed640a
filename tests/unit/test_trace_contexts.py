"""Traceparents are read strictly, and what is none is nothing."""

import pytest

from service.telemetry.current import LogScope, log_scope
from service.telemetry.trace_context import TraceContext
from service.telemetry.traces import outgoing_metadata

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PLAIN = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.mark.parametrize("flags", ["00", "01", "02", "03", "ff"])
def test_only_the_first_flag_says_sampled(flags: str) -> None:
    context = TraceContext.parse(f"00-{TRACE_ID}-{SPAN_ID}-{flags}")

    assert context == TraceContext(int(TRACE_ID, 16), int(SPAN_ID, 16), bool(int(flags, 16) % 2))


def test_it_is_written_as_it_was_read() -> None:
    assert str(TraceContext.parse(PLAIN)) == PLAIN


def test_later_versions_may_have_more_behind_it() -> None:
    assert TraceContext.parse(f"01{PLAIN[2:]}-what-is-to-come") == TraceContext.parse(PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        PLAIN[:-1],
        f"{PLAIN} ",
        f" {PLAIN}",
        f"{PLAIN}\n",
        f"{PLAIN}-more",
        PLAIN.upper(),
        f"ff{PLAIN[2:]}",
        PLAIN.replace("-", "_"),
        PLAIN.replace(TRACE_ID, "0" * 32),
        PLAIN.replace(SPAN_ID, "0" * 16),
        PLAIN.replace(SPAN_ID, "٠" * 16),
        f"01{PLAIN[2:]}-{'x' * 300}",
        PLAIN.encode(),
    ],
)
def test_anything_else_is_none(text: str | bytes) -> None:
    assert TraceContext.parse(text) is None


def test_who_says_two_contexts_says_none() -> None:
    other = PLAIN.replace(SPAN_ID, "1" * 16)

    assert TraceContext.of_metadata([("x", "y"), ("traceparent", PLAIN)]) == TraceContext.parse(PLAIN)
    assert TraceContext.of_metadata([("traceparent", PLAIN), ("traceparent", other)]) is None
    assert TraceContext.of_metadata([]) is None


def test_calls_go_on_with_the_current_trace_until_it_is_over() -> None:
    scope = LogScope(TRACE_ID, SPAN_ID)
    token = log_scope.set(scope)

    during = outgoing_metadata()
    scope.is_over = True
    afterwards = outgoing_metadata()
    log_scope.reset(token)

    assert (during, afterwards, outgoing_metadata()) == ((("traceparent", PLAIN),), (), ())

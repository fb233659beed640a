"""A collector of traces that speaks OTLP over HTTP, as real ones do, and remembers what it was sent."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from service.embedded.ports import LOOPBACK
from tests.waiting import until


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """``links`` and ``parent_id`` are spans' ids."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: dict[str, str]
    resource: dict[str, str]
    start_ns: int
    end_ns: int
    is_error: bool


@dataclass(slots=True)
class TraceCollector:
    """``status`` is what it answers; with ``hangs`` it answers nothing until that is unset."""

    endpoint: str = ""
    spans: list[CollectedSpan] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    status: int = 200
    hangs: bool = False
    asked: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.read()
        if self.hangs:
            await self._released.wait()
        if self.status != 200:
            return web.Response(status=self.status)
        self.headers.append(dict(request.headers))
        self.bodies.append(body)
        self.spans += _spans_of(ExportTraceServiceRequest.FromString(body))
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    def release(self) -> None:
        self.hangs = False
        self._released.set()

    def named(self, name: str) -> list[CollectedSpan]:
        return [span for span in self.spans if span.name == name]

    async def until_named(self, *names: str) -> None:
        async def are_there() -> bool:
            return set(names) <= {span.name for span in self.spans}

        await until(are_there, what=f"spans {names} are collected")

    def connected_with(self, span_id: str) -> list[CollectedSpan]:
        """All that can be reached from a span by parents, children and links, which lead both ways."""
        neighbours: dict[str, set[str]] = {}
        for span in self.spans:
            for other in (span.parent_id, *span.links):
                if other:
                    neighbours.setdefault(span.span_id, set()).add(other)
                    neighbours.setdefault(other, set()).add(span.span_id)
        reached, pending = {span_id}, [span_id]
        while pending:
            new = neighbours.get(pending.pop(), set()) - reached
            reached |= new
            pending += new
        return [span for span in self.spans if span.span_id in reached]


@asynccontextmanager
async def trace_collector() -> AsyncIterator[TraceCollector]:
    collector = TraceCollector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    [address] = runner.addresses
    collector.endpoint = f"http://{LOOPBACK}:{address[1]}/v1/traces"
    try:
        yield collector
    finally:
        collector.release()
        await runner.cleanup()


def _spans_of(request: ExportTraceServiceRequest) -> Iterable[CollectedSpan]:
    for resource_spans in request.resource_spans:
        resource = _texts(resource_spans.resource.attributes)
        for scope in resource_spans.scope_spans:
            for span in scope.spans:
                yield CollectedSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    tuple(link.span_id.hex() for link in span.links),
                    _texts(span.attributes),
                    resource,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                )


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        texts[attribute.key] = str(getattr(attribute.value, kind)) if kind else ""
    return texts

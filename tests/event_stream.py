"""A subscriber to events, as a consumer would write one."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from persistence.postgres.database import Connection
from stakehold.v1 import event_service_pb2 as pb
from stakehold.v1.event_service_pb2_grpc import EventServiceStub
from tests.answers import Refused, refused
from tests.waiting import until

BEGINNING = pb.SubscribeRequest(start_point=pb.START_POINT_BEGINNING)
NOW = pb.SubscribeRequest(start_point=pb.START_POINT_NOW)
DEADLINE_S = 60.0

_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
_ENTRY_IDS = """
SELECT partition, partition || '-' || epoch || '-' || sequence || '-' || entry_index AS entry_id
FROM ledger.entries ORDER BY partition, chain_position
"""


@dataclass(slots=True)
class Consumer:
    """All that it was told, over as many subscriptions as it made; it resumes from its last cursor."""

    events: list[pb.Event] = field(default_factory=list)
    heartbeats: list[pb.Heartbeat] = field(default_factory=list)
    fell_behind: list[pb.FellBehind] = field(default_factory=list)
    cursor: str = ""

    def take(self, response: pb.SubscribeResponse) -> None:
        match response.WhichOneof("message"):
            case "event":
                self.events.append(response.event)
                self.cursor = response.event.cursor
            case "heartbeat":
                self.heartbeats.append(response.heartbeat)
                self.cursor = response.heartbeat.cursor
            case "fell_behind":
                self.fell_behind.append(response.fell_behind)
                self.cursor = response.fell_behind.cursor
            case other:
                raise AssertionError(f"a message of nothing: {other}")

    @property
    def ids(self) -> list[str]:
        return [event.event_id for event in self.events]

    def by_partition(self) -> dict[int, list[str]]:
        """Ids in the order that they were told in, each where it came first."""
        told: defaultdict[int, dict[str, None]] = defaultdict(dict)
        for event in self.events:
            told[event.partition].setdefault(event.event_id)
        return {partition: list(ids) for partition, ids in sorted(told.items())}

    async def until_told(self, count: int) -> None:
        """Waits for so many different events."""

        async def are_there() -> bool:
            return len(set(self.ids)) >= count

        await until(
            are_there, what=f"{count} events, of which {len(set(self.ids))} came", deadline_s=DEADLINE_S
        )

    def resumed(self, **filters: Any) -> pb.SubscribeRequest:
        """Goes on after the last message; from the beginning, where there was none."""
        if not self.cursor:
            return pb.SubscribeRequest(start_point=pb.START_POINT_BEGINNING, **filters)
        return pb.SubscribeRequest(cursor=self.cursor, **filters)


@asynccontextmanager
async def event_channel(address: str, *options: tuple[str, int]) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address, options=(*_OWN_CONNECTION, *options)) as channel:
        yield channel


class Subscription:
    """One call of a consumer's."""

    def __init__(self, channel: grpc.aio.Channel, request: pb.SubscribeRequest, consumer: Consumer) -> None:
        self._call = EventServiceStub(channel).Subscribe(request)
        self._consumer = consumer

    async def take(self) -> bool:
        """One message. Whether there was one; raises Refused for what ended it."""
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise refused(error) from None
        if not isinstance(response, pb.SubscribeResponse):  # the end
            return False
        self._consumer.take(response)
        return True

    async def take_all(self) -> None:
        """Until it ends."""
        while await self.take():
            pass

    def cancel(self) -> None:
        self._call.cancel()


@asynccontextmanager
async def subscribed(
    address: str, request: pb.SubscribeRequest, consumer: Consumer | None = None
) -> AsyncIterator[Consumer]:
    """Consumes until the context is left. The first heartbeat is there when it is entered.

    What ends the subscription before is raised at the end, as Refused.
    """
    consumer = consumer or Consumer()
    async with event_channel(address) as channel:
        subscription = Subscription(channel, request, consumer)
        await subscription.take()
        task = asyncio.create_task(subscription.take_all())
        try:
            yield consumer
        finally:
            ended = task.done()
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            subscription.cancel()
    if ended and isinstance(outcome, Exception):
        raise outcome


async def consume_for_ever(address: str, consumer: Consumer, **filters: Any) -> None:
    """As consumers should: whatever ends a subscription, the next begins where it was. Until cancelled."""
    while True:
        async with event_channel(address) as channel:
            try:
                await Subscription(channel, consumer.resumed(**filters), consumer).take_all()
            except Refused as ended:
                if ended.code not in {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"}:
                    raise
        await asyncio.sleep(0.02)


async def ids_of_ledger(sql: Connection) -> dict[int, list[str]]:
    """What there is to tell: ids by partition, in the order of its chain."""
    ids: defaultdict[int, list[str]] = defaultdict(list)
    for row in await sql.fetch(_ENTRY_IDS):
        ids[row["partition"]].append(row["entry_id"])
    return dict(ids)


def require_in_order(events: Sequence[pb.Event]) -> None:
    """Of each partition, one after the other and none twice."""
    last: dict[int, int] = {}
    for event in events:
        assert event.position > last.get(event.partition, -1), event.event_id
        last[event.partition] = event.position

"""EventService: everything that the ledger commits is told, in order, from wherever one left off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from persistence.transactions import PlayerId, partition_of
from service.embedded.ports import LOOPBACK, free_port
from service.embedded.postgres_data import OWNER, SUPERUSER
from service.server import running_server
from service.settings import Settings
from stakehold.v1 import event_service_pb2 as pb
from stakehold.v1 import ledger_service_pb2, transaction_pb2
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.answers import Refused
from tests.draining import Draining, some_play
from tests.event_stream import (
    BEGINNING,
    NOW,
    Consumer,
    Subscription,
    consume_for_ever,
    event_channel,
    ids_of_ledger,
    require_in_order,
    subscribed,
)
from tests.outbox_feed import FedWallet
from tests.waiting import until

HEARTBEAT_S = 0.1
NARROW = (("grpc.http2.lookahead_bytes", 4096), ("grpc.http2.bdp_probe", 0))
"""A client without room on the way, so that what it does not read stays with the server."""


@asynccontextmanager
async def serving(books: Draining, *, address: str = f"{LOOPBACK}:0", **changes: Any) -> AsyncIterator[str]:
    """A server on the test's ledger and store; its address."""
    settings = Settings(
        valkey_url=SecretStr(books.valkey_url),
        postgres_url=SecretStr(books.ledger_dsn),
        listen=address,
        insecure_development=True,
        **{"event_heartbeat_s": HEARTBEAT_S, "shutdown_grace_s": 5.0, **changes},
    )
    async with running_server(settings) as server:
        yield server.address


class Play:
    """Players who go on betting, for as long as a test likes."""

    def __init__(self, books: Draining, *, players: int = 24) -> None:
        self._books = books
        self._wallets = [FedWallet(f"busy-{number}") for number in range(players)]
        self._bets = 0
        self.entry_count = 0

    async def open(self) -> None:
        for wallet in self._wallets:
            self._books.feed.add_later(wallet.player, wallet.opened())
            self._books.feed.add_later(wallet.player, wallet.applied("deposit", "deposit", cash=10**9))
        await self._books.feed.flush()
        self.entry_count += 2 * len(self._wallets)

    async def bet(self) -> None:
        """One of each player, in two records."""
        self._bets += 1
        for wallet in self._wallets:
            bet = wallet.applied(f"bet-{self._bets}", "bet", cash=-2)
            win = wallet.applied(f"win-{self._bets}", "win", cash=1)
            self._books.feed.add_later(wallet.player, bet)
            self._books.feed.add_later(wallet.player, win)
        await self._books.feed.flush()
        self.entry_count += 2 * len(self._wallets)


async def test_everything_is_told_from_the_beginning_in_the_order_of_each_partition(books: Draining) -> None:
    count = await some_play(books.feed)
    await books.drain(batch_records=7)

    async with serving(books) as address, subscribed(address, BEGINNING) as consumer:
        await consumer.until_told(count)

    require_in_order(consumer.events)
    assert consumer.by_partition() == await ids_of_ledger(books.sql)


async def test_from_now_on_only_what_is_committed_afterwards_is_told(books: Draining) -> None:
    before = await some_play(books.feed, players=3)
    await books.drain()
    wallet = FedWallet("ada")

    async with serving(books) as address, subscribed(address, NOW) as consumer:
        await books.feed.add("ada", wallet.opened())
        await books.drain()
        await consumer.until_told(1)

    assert [event.entry.player_id for event in consumer.events] == ["ada"]
    assert await books.entry_count() == before + 1


async def test_an_event_is_the_ledgers_entry(books: Draining) -> None:
    count = await some_play(books.feed, players=4, bets=2)
    await books.drain()

    async with serving(books) as address:
        async with subscribed(address, BEGINNING) as consumer:
            await consumer.until_told(count)
        async with event_channel(address) as channel:
            request = ledger_service_pb2.ListEntriesRequest(page_size=1000)
            listed = (await LedgerServiceStub(channel).ListEntries(request)).entries

    by_id = {entry.entry_id: entry for entry in listed}
    assert len(by_id) == count
    for event in consumer.events:
        assert event.entry == by_id[event.event_id]
        assert event.partition == partition_of(PlayerId(event.entry.player_id), 16)


async def test_a_rollback_is_an_event_and_leaves_the_earlier_one_as_it_was(books: Draining) -> None:
    wallet = FedWallet("ada")
    rolled_back = wallet.opened(), wallet.applied("d1", "deposit", cash=100)
    await books.feed.add("ada", *rolled_back)
    undo = wallet.applied("r1", "deposit", operation="rollback", cash=-100)
    await books.feed.add("ada", {**undo, "reference": "d1"})
    await books.drain()

    async with serving(books) as address, subscribed(address, BEGINNING) as consumer:
        await consumer.until_told(3)

    assert [event.entry.transaction_id for event in consumer.events] == ["open-EUR", "d1", "r1"]
    assert consumer.events[1].entry.rolled_back_by_transaction_id == ""
    assert consumer.events[2].entry.kind == transaction_pb2.TRANSACTION_KIND_ROLLBACK


@pytest.mark.parametrize("is_live", [False, True])
@pytest.mark.parametrize(
    "filters",
    [
        {"player_id": "player-3"},
        {"source_id": "acme"},
        {"source_id": "stakehold"},
        {"source_id": "nobody"},
        {"kinds": [transaction_pb2.TRANSACTION_KIND_BET]},
        {"kinds": [transaction_pb2.TRANSACTION_KIND_WIN, transaction_pb2.TRANSACTION_KIND_DEPOSIT]},
        {"kinds": [transaction_pb2.TRANSACTION_KIND_ROLLBACK]},
        {"player_id": "player-5", "source_id": "acme", "kinds": [transaction_pb2.TRANSACTION_KIND_WIN]},
    ],
)
async def test_what_is_told_is_what_fits_every_filter(
    books: Draining, filters: dict[str, Any], is_live: bool
) -> None:
    count = await some_play(books.feed)
    wallet = FedWallet("rolling")
    await books.feed.add("rolling", wallet.opened(), wallet.applied("d1", "deposit", cash=100))
    undo = wallet.applied("r1", "deposit", operation="rollback", cash=-100)
    await books.feed.add("rolling", {**undo, "reference": "d1"})
    if not is_live:
        await books.drain()
    everything, chosen = Consumer(), Consumer()

    async with (
        serving(books) as address,
        subscribed(address, BEGINNING, everything),
        subscribed(address, chosen.resumed(**filters), chosen),
    ):
        await books.drain(batch_records=9)
        await everything.until_told(count + 3)
        await until(lambda: _caught_up(chosen), what="the filtered subscriber has seen everything")

    expected = [
        event.event_id
        for event in everything.events
        if event.entry.player_id == filters.get("player_id", event.entry.player_id)
        and event.entry.source_id == filters.get("source_id", event.entry.source_id)
        and ("kinds" not in filters or event.entry.kind in filters["kinds"])
    ]
    assert sorted(chosen.ids) == sorted(expected)
    require_in_order(chosen.events)


async def _caught_up(consumer: Consumer) -> bool:
    """Whether two heartbeats in a row have said that nothing is left."""
    return [beat.entries_behind for beat in consumer.heartbeats[-2:]] == [0, 0] and len(
        consumer.heartbeats
    ) > 2


async def test_a_filtered_subscriber_moves_on_by_heartbeats(books: Draining) -> None:
    consumer = Consumer()
    count = await some_play(books.feed)
    await books.drain()

    async with serving(books) as address:
        async with subscribed(address, consumer.resumed(player_id="nobody"), consumer):
            await until(lambda: _caught_up(consumer), what="it has seen everything")
        after = Consumer(cursor=consumer.cursor)
        await books.feed.add("ada", FedWallet("ada").opened())
        await books.drain()
        async with subscribed(address, after.resumed(), after):
            await after.until_told(1)

    assert await books.entry_count() == count + 1
    assert consumer.events == []
    assert [event.entry.player_id for event in after.events] == ["ada"]


async def test_catching_up_becomes_live_without_a_gap_while_drainers_come_and_go(books: Draining) -> None:
    play = Play(books)
    await play.open()
    for _ in range(20):
        await play.bet()
    await books.drain(batch_records=40)
    consumers = [Consumer() for _ in range(4)]

    async with (
        serving(books, event_tail_entries=64) as address,
        subscribed(address, BEGINNING, consumers[0]),
    ):
        for consumer in consumers[1:]:
            async with (
                books.draining(books.drainer(batch_records=5)),
                subscribed(address, BEGINNING, consumer),
            ):
                for _ in range(10):
                    await play.bet()
                await consumer.until_told(play.entry_count)
        await consumers[0].until_told(play.entry_count)

    expected = await ids_of_ledger(books.sql)
    assert consumers[0].by_partition() == expected
    for consumer in consumers:
        require_in_order(consumer.events)
        for partition, told in consumer.by_partition().items():
            assert told == expected[partition][: len(told)], "none is left out up to where it ended"


async def test_a_consumer_misses_nothing_though_servers_and_drainers_are_replaced(books: Draining) -> None:
    play = Play(books)
    await play.open()
    consumer, filtered = Consumer(), Consumer()
    address = f"{LOOPBACK}:{free_port()}"
    consuming = [
        asyncio.create_task(consume_for_ever(address, consumer)),
        asyncio.create_task(consume_for_ever(address, filtered, player_id="busy-7")),
    ]
    try:
        for _ in range(4):
            # Both drainers have half of the partitions; one hands over to the other at every turn.
            async with serving(books, address=address), books.draining(), books.draining():
                for _ in range(8):
                    await play.bet()
                await consumer.until_told(play.entry_count * 3 // 4)
            await play.bet()
        async with serving(books, address=address), books.draining():
            await consumer.until_told(play.entry_count)
            await filtered.until_told(play.entry_count // 24)
    finally:
        for task in consuming:
            task.cancel()
        outcomes = await asyncio.gather(*consuming, return_exceptions=True)

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes
    expected = await ids_of_ledger(books.sql)
    assert consumer.by_partition() == expected
    assert list(filtered.by_partition()) == [partition_of(PlayerId("busy-7"), 16)]
    require_in_order(filtered.events)
    assert len(consumer.ids) == len(set(consumer.ids)), "the cursor of each event is right behind it"


async def test_every_cursor_resumes_right_behind_its_event(books: Draining) -> None:
    count = await some_play(books.feed, players=6, bets=2)
    await books.drain()

    async with serving(books) as address:
        async with subscribed(address, BEGINNING) as consumer:
            await consumer.until_told(count)
        for number in (0, 1, count // 2, count - 2):
            later = Consumer(cursor=consumer.events[number].cursor)
            async with subscribed(address, later.resumed(), later):
                await later.until_told(count - number - 1)
            assert later.ids == consumer.ids[number + 1 :]


async def test_what_is_not_committed_is_never_told(books: Draining) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def stop_before_commit(step: str) -> None:
        if step == "cursors_moved":
            reached.set()
            await go_on.wait()

    count = await some_play(books.feed, players=4)

    async with (
        serving(books) as address,
        subscribed(address, BEGINNING) as consumer,
        books.draining(books.drainer(between_steps=stop_before_commit)),
    ):
        await reached.wait()
        beats = len(consumer.heartbeats)
        await until(lambda: _has_heartbeats(consumer, beats + 3), what="the server has looked meanwhile")
        assert consumer.events == []
        go_on.set()
        await consumer.until_told(count)


async def _has_heartbeats(consumer: Consumer, count: int) -> bool:
    return len(consumer.heartbeats) >= count


async def test_a_slow_subscriber_is_told_so_and_misses_nothing_while_others_are_live(books: Draining) -> None:
    play = Play(books)
    quick, slow = Consumer(), Consumer()

    async with (
        serving(books, event_tail_entries=32, event_heartbeat_s=60.0) as address,
        event_channel(address, *NARROW) as channel,
        subscribed(address, BEGINNING, quick),
    ):
        subscription = Subscription(channel, BEGINNING, slow)
        await subscription.take()
        async with books.draining(books.drainer(batch_records=10)):
            await play.open()
            for _ in range(40):
                await play.bet()
            await quick.until_told(play.entry_count)
            while len(slow.events) < play.entry_count:
                assert await subscription.take()
        subscription.cancel()

    expected = await ids_of_ledger(books.sql)
    assert slow.by_partition() == quick.by_partition() == expected
    require_in_order(slow.events)
    assert slow.fell_behind
    assert slow.fell_behind[0].entries_behind > 0


async def test_a_subscriber_that_takes_nothing_is_ended_with_the_cursor_to_resume_from(
    books: Draining,
) -> None:
    play = Play(books)
    await play.open()
    for _ in range(60):
        await play.bet()
    await books.drain()
    consumer = Consumer()

    async with (
        serving(books, event_patience_s=0.3, max_subscribers=1) as address,
        event_channel(address, *NARROW) as channel,
    ):
        subscription = Subscription(channel, BEGINNING, consumer)
        await subscription.take()
        await until(lambda: _has_room(address), what="its place is free again")
        with pytest.raises(Refused) as caught:
            await subscription.take_all()
        error = caught.value
        assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "SUBSCRIBER_STALLED")
        resumed = Consumer(events=consumer.events, cursor=error.details.metadata["cursor"])
        async with subscribed(address, resumed.resumed(), resumed):
            await resumed.until_told(play.entry_count)

    assert resumed.by_partition() == await ids_of_ledger(books.sql)


async def _has_room(address: str) -> bool:
    try:
        async with subscribed(address, NOW):
            return True
    except Refused as error:
        if (error.reason, error.details.metadata.get("cause")) != ("OVERLOADED", "subscribers"):
            raise
        return False


async def test_a_server_that_stops_ends_subscriptions_at_once_and_says_so(books: Draining) -> None:
    consumer = Consumer()

    async with AsyncExitStack() as stack:
        async with serving(books, event_heartbeat_s=60.0) as address:
            channel = await stack.enter_async_context(event_channel(address))
            subscription = Subscription(channel, NOW, consumer)
            await subscription.take()
        with pytest.raises(Refused) as caught:
            await subscription.take_all()

    assert (caught.value.code, caught.value.reason) == ("UNAVAILABLE", "STOPPING")
    assert caught.value.details.retry_delay_ms
    assert consumer.cursor


@pytest.mark.parametrize("text", ["", "x", "AAAA", "not base64!", "ä", "=" * 40])
async def test_a_malformed_cursor_is_refused_by_its_field(books: Draining, text: str) -> None:
    async with serving(books) as address:
        with pytest.raises(Refused) as caught:
            async with subscribed(address, pb.SubscribeRequest(cursor=text)):
                pass

    assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "CURSOR_INVALID")
    assert caught.value.details.fields == ("cursor",)


async def test_a_cursor_ahead_of_the_ledger_is_refused(books: Draining) -> None:
    await some_play(books.feed, players=3)
    await books.drain()
    async with serving(books) as address, subscribed(address, NOW) as consumer:
        pass
    # As after the ledger was restored from a backup that is older than what was told.
    superuser = await asyncpg.connect(books.ledger_dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE ledger.partitions SET entry_count = 0")
    await superuser.close()

    async with serving(books) as address:
        with pytest.raises(Refused) as caught:
            async with subscribed(address, consumer.resumed()):
                pass

    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "CURSOR_NOT_IN_LEDGER")
    assert caught.value.details.metadata["cause"] == "ahead"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SubscribeRequest(), "start"),
        (pb.SubscribeRequest(start_point=pb.START_POINT_UNSPECIFIED), "start_point"),
        (pb.SubscribeRequest(start_point=pb.START_POINT_NOW, player_id="ä"), "player_id"),
        (pb.SubscribeRequest(start_point=pb.START_POINT_NOW, source_id="x" * 129), "source_id"),
        (
            pb.SubscribeRequest(
                start_point=pb.START_POINT_NOW, kinds=[transaction_pb2.TRANSACTION_KIND_UNSPECIFIED]
            ),
            "kinds[0]",
        ),
    ],
)
async def test_a_malformed_subscription_is_refused_by_its_field(
    books: Draining, request_: pb.SubscribeRequest, field: str
) -> None:
    async with serving(books) as address:
        with pytest.raises(Refused) as caught:
            async with subscribed(address, request_):
                pass

    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.details.fields == (field,)

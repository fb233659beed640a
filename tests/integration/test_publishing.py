"""`stakehold publish`: a broker gets every entry, in order, whatever is killed meanwhile."""

import asyncio
import json
import signal
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from google.protobuf.json_format import ParseDict
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from fx.currencies import initial_currencies
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.registry import PostgresRegistry
from service.embedded.children import Child, spawn
from service.embedded.ports import LOOPBACK, free_port
from service.publishing.metrics import PublishMetrics
from service.publishing.opening import open_ledger_side, open_sink
from service.publishing.publish_settings import PublishSettings
from service.publishing.publisher import BetweenSteps, Publisher, go_on
from stakehold.v1 import ledger_service_pb2
from tests.brokers import Broker, Message, broker
from tests.deployment import ROOT, service_environment
from tests.draining import Draining, some_play
from tests.event_stream import ids_of_ledger
from tests.outbox_feed import FedWallet
from tests.waiting import until

KINDS = ("nats", "kafka")
DEADLINE_S = 60.0
QUICK = {"TIMEOUT_S": "0.5", "LEASE_S": "2", "PAGE_EVENTS": "40"}


@pytest_asyncio.fixture
async def books(books: Draining) -> Draining:
    """With the currencies that any server would have planted."""
    url = books.ledger_dsn
    async with ledger_pool(url, role=LedgerRole.REGISTRAR, size=1, statement_timeout_s=10.0) as pool:
        await PostgresRegistry(pool).plant_currencies(initial_currencies())
    return books


@pytest_asyncio.fixture(params=KINDS)
async def sink(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker(request.param, tmp_path / "broker") as made:
        yield made


@pytest_asyncio.fixture
async def jetstream(tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker("nats", tmp_path / "broker") as made:
        yield made


@dataclass(frozen=True, slots=True)
class Published:
    """One message, as a consumer reads it that knows nothing but CloudEvents."""

    event_id: str
    partition: int
    position: int
    player_id: str
    channel: str


def read(message: Message) -> Published:
    attributes: Mapping[str, Any]
    if message.headers["content-type"].startswith("application/cloudevents+json"):
        attributes = json.loads(message.body)
    else:
        prefix = "ce-" if "ce-id" in message.headers else "ce_"
        attributes = {
            name.removeprefix(prefix): text
            for name, text in message.headers.items()
            if name.startswith(prefix)
        }
    return Published(
        attributes["id"],
        int(attributes["partition"]),
        int(attributes["sequence"]),
        attributes["subject"],
        message.channel,
    )


def require_all_in_order(
    messages: Sequence[Message], ledger: Mapping[int, list[str]], *, by_player: bool
) -> int:
    """That the broker has the ledger's entries, each for the first time after those before it.

    What comes again does so in stretches that begin anew further back and leave nothing out. Returns how
    often something came again.
    """
    lanes: defaultdict[Any, list[Published]] = defaultdict(list)
    for event in map(read, messages):
        lanes[(event.partition, event.player_id if by_player else "")].append(event)
    told: defaultdict[int, set[str]] = defaultdict(set)
    for lane in lanes.values():
        places = sorted({event.position for event in lane})
        ranks = {place: rank for rank, place in enumerate(places)}
        last = newest = -1
        for event in lane:
            assert ledger[event.partition][event.position] == event.event_id
            rank = ranks[event.position]
            assert rank <= newest + 1, f"{event.event_id} came before what precedes it"
            assert rank <= last or rank == last + 1, f"{event.event_id} came again without what precedes it"
            last, newest = rank, max(newest, rank)
            told[event.partition].add(event.event_id)
    assert {partition: set(ids) for partition, ids in ledger.items()} == told
    return len(messages) - sum(map(len, ledger.values()))


def environment(books: Draining, sink: Broker, **settings: str) -> dict[str, str]:
    ours = {"KIND": sink.kind, "SERVERS": sink.servers, **QUICK, **settings}
    return {
        **{
            name: value
            for name, value in service_environment("", books.ledger_dsn).items()
            if name not in {"STAKEHOLD_VALKEY_URL", "STAKEHOLD_LISTEN"}
        },
        **{f"STAKEHOLD_PUBLISH_{name}": value for name, value in ours.items()},
    }


def spawned(folder: Path, variables: Mapping[str, str], *, name: str = "publish") -> Child:
    command = [sys.executable, "-m", "service.cli", "publish"]
    return spawn(name, command, log=folder / f"{name}.log", env=variables, cwd=ROOT)


@asynccontextmanager
async def publishing(folder: Path, variables: Mapping[str, str], **how: Any) -> AsyncIterator[Child]:
    """Runs `stakehold publish` until the context is left; it must then end well."""
    child = spawned(folder, variables, **how)
    try:
        yield child
    finally:
        await child.stop(grace_s=20.0)
    assert child.process.returncode == 0, child.log_tail()


async def progress(books: Draining, sink: str) -> int:
    noted = await books.sql.fetchval(
        "SELECT coalesce(sum(position), 0)::bigint FROM ledger.publications WHERE sink = $1", sink
    )
    assert isinstance(noted, int)
    return noted


async def until_published(books: Draining, sink: str, *, child: Child | None = None) -> None:
    """Waits until all that the ledger has is noted as confirmed."""

    async def is_published() -> bool:
        assert child is None or child.running, child.log_tail()
        return await progress(books, sink) == await books.entry_count()

    await until(is_published, what="everything is published", deadline_s=DEADLINE_S)


async def more_play(books: Draining, number: int, *, players: int = 12) -> None:
    """New players who open, deposit and bet."""
    wallets = [FedWallet(f"more-{number}-{player}") for player in range(players)]
    for wallet in wallets:
        books.feed.add_later(wallet.player, wallet.opened())
        books.feed.add_later(wallet.player, wallet.applied("deposit", "deposit", cash=1000))
        for bet in range(3):
            books.feed.add_later(wallet.player, wallet.applied(f"bet-{bet}", "bet", cash=-10))
    await books.feed.flush()


class Killed(Exception):
    """Where a test ends a publisher, as if it had been killed there."""


@asynccontextmanager
async def made_publisher(
    books: Draining, sink: Broker, *, between_steps: BetweenSteps = go_on, **changes: Any
) -> AsyncIterator[tuple[Publisher, CollectorRegistry]]:
    """A publisher in this process, with leases that are over at once when it is gone."""
    settings = PublishSettings(
        **{
            "kind": sink.kind,
            "servers": SecretStr(sink.servers),
            "postgres_url": SecretStr(books.ledger_dsn),
            "timeout_s": 0.2,
            "lease_s": 1.0,
            "page_events": 20,
            **changes,
        }
    )
    registry = CollectorRegistry()
    metrics = PublishMetrics(registry, sink=settings.sink_name())
    async with AsyncExitStack() as stack:
        ledger = await open_ledger_side(settings, stack)
        opened = partial(open_sink, settings)
        yield Publisher(settings, ledger, opened, metrics=metrics, between_steps=between_steps), registry


@pytest.mark.parametrize("encoding", ["structured", "binary"])
async def test_the_broker_gets_all_entries_in_order_and_once(
    books: Draining, sink: Broker, tmp_path: Path, encoding: str
) -> None:
    await some_play(books.feed)
    await books.drain(batch_records=11)

    async with publishing(tmp_path, environment(books, sink, ENCODING=encoding)) as child:
        await until_published(books, sink.kind, child=child)
        await more_play(books, 1)
        await books.drain()
        await until_published(books, sink.kind, child=child)

    repeated = require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )
    assert repeated == 0


async def test_nats_subjects_say_partition_and_kind(
    books: Draining, jetstream: Broker, tmp_path: Path
) -> None:
    wallet = FedWallet("ada")
    await books.feed.add("ada", wallet.opened())
    await books.feed.add("ada", wallet.applied("d1", "deposit", cash=100))
    undo = wallet.applied("r1", "deposit", operation="rollback", cash=-100)
    await books.feed.add("ada", {**undo, "reference": "d1"})
    await books.drain()

    async with publishing(tmp_path, environment(books, jetstream)) as child:
        await until_published(books, "nats", child=child)

    partition = books.feed.partition_of("ada")
    assert [message.channel for message in await jetstream.messages()] == [
        f"stakehold.entries.{partition}.{kind}" for kind in ("wallet_opened", "deposit", "rollback")
    ]


async def test_kafka_keys_are_players(books: Draining, tmp_path: Path) -> None:
    await some_play(books.feed, players=30)
    await books.drain()

    async with broker("kafka", tmp_path / "broker") as kafka:
        async with publishing(tmp_path, environment(books, kafka)) as child:
            await until_published(books, "kafka", child=child)
        messages = await kafka.messages()

    assert all(message.key == read(message).player_id for message in messages)
    channels = {(message.key, message.channel) for message in messages}
    assert len(channels) == 30, "each player is in one of the topic's partitions"
    assert len({channel for _, channel in channels}) > 4


async def test_a_publisher_that_is_killed_again_and_again_leaves_nothing_out(
    books: Draining, sink: Broker, tmp_path: Path
) -> None:
    random = Random(7)
    variables = environment(books, sink, PAGE_EVENTS="8")
    await some_play(books.feed, players=24, bets=10)
    await books.drain()
    for number in range(4):
        child = spawned(tmp_path, variables)
        before = await progress(books, sink.kind)

        async def has_moved(before: int = before) -> bool:
            return await progress(books, sink.kind) > before

        await until(has_moved, what="something is published", deadline_s=DEADLINE_S)
        await asyncio.sleep(random.random() * 0.05)
        child.process.kill()
        await child.exited()
        await more_play(books, number)
        await books.drain()

    async with publishing(tmp_path, variables) as child:
        await until_published(books, sink.kind, child=child)

    require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )


@pytest.mark.parametrize("step", ["read", "confirmed", "noted"])
async def test_wherever_a_publisher_ends_the_next_one_goes_on(
    books: Draining, sink: Broker, step: str
) -> None:
    steps = 0

    async def end(done: str) -> None:
        nonlocal steps
        steps += done == step
        if done == step and steps % 2 == 0:
            raise Killed

    count = await some_play(books.feed, players=8, bets=2)
    await books.drain()
    ended = 0
    while await progress(books, sink.kind) < count:
        async with made_publisher(books, sink, between_steps=end, page_events=8) as (publisher, _):
            stop = asyncio.Event()
            running = asyncio.create_task(publisher.run(stop))
            published = asyncio.create_task(until_published(books, sink.kind))
            await asyncio.wait({running, published}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            published.cancel()
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            assert outcome is None or isinstance(outcome, Killed)
            ended += isinstance(outcome, Killed)

    assert ended >= 2
    repeated = require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )
    if sink.kind == "nats":
        assert repeated == 0, "JetStream knows the ids"
    elif step == "confirmed":
        assert repeated > 0, "what was confirmed and not noted comes again"


async def test_what_the_broker_has_not_confirmed_is_sent_when_it_is_back(
    books: Draining, sink: Broker, tmp_path: Path
) -> None:
    await some_play(books.feed)
    await books.drain()

    async with publishing(tmp_path, environment(books, sink)) as child:
        await until_published(books, sink.kind, child=child)
        for number in range(3):
            sink.child.process.send_signal(signal.SIGSTOP)
            await more_play(books, number)
            await books.drain()
            before = await progress(books, sink.kind)
            await until(partial(_says, child, number + 1), what="it says that the broker is away")
            assert await progress(books, sink.kind) == before
            sink.child.process.send_signal(signal.SIGCONT)
            await until_published(books, sink.kind, child=child)

    require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )


async def _says(child: Child, count: int, event: str = "publish_interrupted") -> bool:
    return child.log.read_text().count(event) >= count


async def test_a_broker_that_is_killed_and_started_again_has_everything(
    books: Draining, jetstream: Broker, tmp_path: Path
) -> None:
    await some_play(books.feed)
    async with (
        publishing(tmp_path, environment(books, jetstream, PAGE_EVENTS="10")) as child,
        books.draining(books.drainer(batch_records=5)),
    ):
        for number in range(4):
            await more_play(books, number)
            await until(partial(_moved, books, 20 * (number + 1)), what="something is published")
            await jetstream.kill()
            await more_play(books, 10 + number)
            await jetstream.start()
        await books.until_entries(144 + 8 * 60)
        await until_published(books, "nats", child=child)

    repeated = require_all_in_order(
        await jetstream.messages(), await ids_of_ledger(books.sql), by_player=False
    )
    assert repeated == 0


async def _moved(books: Draining, count: int) -> bool:
    return await progress(books, "nats") >= count


async def test_publishers_share_the_partitions_and_take_over_from_one_that_dies(
    books: Draining, sink: Broker, tmp_path: Path
) -> None:
    variables = environment(books, sink)
    await some_play(books.feed)
    async with (
        publishing(tmp_path, variables, name="first"),
        books.draining(),
    ):
        doomed = spawned(tmp_path, variables, name="second")
        await until(partial(_shares, books, [8, 8]), what="each has half", deadline_s=DEADLINE_S)
        await more_play(books, 1)
        await until(partial(_moved_at_all, books, sink.kind), what="something is published")
        doomed.process.kill()
        await doomed.exited()
        await more_play(books, 2)
        await until(partial(_shares, books, [16]), what="one has all", deadline_s=DEADLINE_S)
        await books.until_entries(144 + 120)
        await until_published(books, sink.kind)

    require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )
    assert await books.sql.fetchval("SELECT count(*) FROM ledger.publishers") <= 1
    assert await books.sql.fetchval("SELECT count(leased_by) FROM ledger.publications") == 0


async def _shares(books: Draining, wanted: list[int]) -> bool:
    rows = await books.sql.fetch(
        "SELECT count(*) FROM ledger.publications "
        "WHERE leased_by IS NOT NULL AND leased_until > clock_timestamp() GROUP BY leased_by"
    )
    return [row["count"] for row in rows] == wanted


async def _moved_at_all(books: Draining, sink: str) -> bool:
    return await progress(books, sink) > 0


async def test_a_publisher_that_slept_through_its_lease_notes_nothing(
    books: Draining, jetstream: Broker
) -> None:
    asleep, awake = asyncio.Event(), asyncio.Event()

    async def sleep(step: str) -> None:
        if step == "confirmed" and not awake.is_set():
            asleep.set()
            await awake.wait()

    count = await some_play(books.feed)
    await books.drain()
    async with (
        made_publisher(books, jetstream, between_steps=sleep) as (sleeper, _),
        made_publisher(books, jetstream) as (other, _),
    ):
        stop = asyncio.Event()
        sleeping = asyncio.create_task(sleeper.run(stop))
        await asleep.wait()
        going_on = asyncio.create_task(other.run(stop))
        await until_published(books, "nats")
        awake.set()
        await asyncio.sleep(0)
        stop.set()
        await asyncio.gather(sleeping, going_on)

    assert await progress(books, "nats") == count
    assert (
        require_all_in_order(await jetstream.messages(), await ids_of_ledger(books.sql), by_player=False) == 0
    )


async def test_a_new_sink_may_begin_with_what_is_still_to_come(
    books: Draining, jetstream: Broker, tmp_path: Path
) -> None:
    before = await some_play(books.feed, players=3)
    await books.drain()

    async with publishing(tmp_path, environment(books, jetstream, START="now", SINK="later")) as child:
        await until(partial(_planted, books), what="the sink is known")
        await books.feed.add("ada", FedWallet("ada").opened())
        await books.drain()
        await until_published(books, "later", child=child)

    assert await books.entry_count() == before + 1
    assert [read(message).player_id for message in await jetstream.messages()] == ["ada"]


async def _planted(books: Draining) -> bool:
    return bool(
        await books.sql.fetchval("SELECT count(*) = 16 FROM ledger.publications WHERE sink = 'later'")
    )


async def test_lag_and_readiness_are_told(books: Draining, jetstream: Broker, tmp_path: Path) -> None:
    count = await some_play(books.feed)
    await books.drain()
    address = f"{LOOPBACK}:{free_port()}"

    variables = {**environment(books, jetstream), "STAKEHOLD_METRICS_LISTEN": address}

    async with publishing(tmp_path, variables) as child:
        await until_published(books, "nats", child=child)
        await until(partial(_reads, address, lag=0.0, published=count, ready=True), what="it is ready")
        await jetstream.kill()
        await more_play(books, 1)
        await books.drain()
        await until(
            partial(_reads, address, lag=60.0, published=count, ready=False),
            what="it says how far it is",
        )
        assert await _metric(address, "stakehold_publish_lag_seconds") > 0
        assert await _metric(address, "stakehold_publish_failures_total") > 0
        await jetstream.start()
        await until(partial(_reads, address, lag=0.0, published=count + 60, ready=True), what="it is ready")
        assert await _metric(address, "stakehold_publish_lag_seconds") == 0


async def _reads(address: str, *, lag: float, published: float, ready: bool) -> bool:
    return (
        await _metric(address, "stakehold_publish_lag_events") == lag
        and await _metric(address, "stakehold_published_events_total") == published
        and await asyncio.to_thread(_is_ready, address) == ready
    )


async def _metric(address: str, name: str) -> float:
    text = await asyncio.to_thread(_get, f"http://{address}/metrics")
    (value,) = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name}{{")]
    return float(value)


def _is_ready(address: str) -> bool:
    try:
        return _get(f"http://{address}/ready") == "ready\n"
    except urllib.error.HTTPError as error:
        error.close()
        return error.code != 503


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5.0) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KIND": "pigeon"}, "STAKEHOLD_PUBLISH_KIND"),
        ({"SUBJECT": "a.*"}, "STAKEHOLD_PUBLISH_SUBJECT"),
        ({"PASSWORD": "x"}, "STAKEHOLD_PUBLISH_USERNAME"),
        ({"LEASE_S": "1"}, "STAKEHOLD_PUBLISH_LEASE_S"),
    ],
)
async def test_wrong_settings_are_named(
    books: Draining, tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    variables = {
        **environment(books, _Nowhere()),  # type: ignore[arg-type]
        **{f"STAKEHOLD_PUBLISH_{name}": value for name, value in settings.items()},
    }
    child = spawned(tmp_path, variables)

    assert await child.exited() == 2
    assert said in child.log.read_text()


class _Nowhere:
    kind = "nats"
    servers = "nats://127.0.0.1:1"


@pytest.mark.parametrize("encoding", ["structured", "binary"])
async def test_cloudevents_own_library_reads_what_is_published(
    books: Draining, sink: Broker, tmp_path: Path, encoding: str
) -> None:
    await some_play(books.feed, players=4, bets=1)
    await books.drain()

    async with publishing(tmp_path, environment(books, sink, ENCODING=encoding)) as child:
        await until_published(books, sink.kind, child=child)
    messages = await sink.messages()

    hashes = {}
    ledger_id = await books.sql.fetchval("SELECT ledger_id FROM ledger.settings")
    for message in messages:
        # Its binding to NATS differs from the one to Kafka in the first letters of headers alone.
        headers = {name.replace("ce-", "ce_"): text.encode() for name, text in message.headers.items()}
        event = from_kafka_event(KafkaMessage(headers=headers, key=message.key or None, value=message.body))
        data = event.get_data()
        if encoding == "binary":
            assert isinstance(data, bytes)
            entry = ledger_service_pb2.Entry.FromString(data)
        else:
            assert isinstance(data, dict)
            entry = ParseDict(data, ledger_service_pb2.Entry())
        assert event.get_specversion() == "1.0"
        assert event.get_id() == entry.entry_id
        assert event.get_source() == f"urn:uuid:{ledger_id}"
        assert event.get_type() == f"stakehold.v1.entry.{_type_name(entry)}"
        assert event.get_subject() == event.get_extension("partitionkey") == entry.player_id
        assert event.get_time() == entry.recorded_time.ToDatetime(tzinfo=UTC)
        hashes[entry.entry_id] = entry.hash
    rows = await books.sql.fetch(
        "SELECT partition || '-' || epoch || '-' || sequence || '-' || entry_index AS id, hash "
        "FROM ledger.entries"
    )
    assert hashes == {row["id"]: row["hash"] for row in rows}


def _type_name(entry: ledger_service_pb2.Entry) -> str:
    name = ledger_service_pb2.EntryType.Name(entry.entry_type)
    return name.removeprefix("ENTRY_TYPE_").lower()

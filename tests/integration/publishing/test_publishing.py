"""`stakehold publish`: a broker gets every entry, in order, in forms that its consumers know."""

from datetime import UTC
from functools import partial
from pathlib import Path

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from google.protobuf.json_format import ParseDict

from stakehold.v1 import ledger_service_pb2
from tests.brokers import Broker, broker
from tests.draining import Draining, some_play
from tests.event_stream import ids_of_ledger
from tests.integration.publishing.consuming import read, require_all_in_order
from tests.integration.publishing.publishers import environment, more_play, publishing, until_published
from tests.outbox_feed import FedWallet
from tests.waiting import until


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

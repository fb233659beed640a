"""What drainers and operators read of all nodes, and of those that are away."""

import asyncio
from uuid import UUID

import pytest

from persistence.errors import StoreUnavailable
from persistence.transactions import OutboxPosition, PlayerId, partition_of
from persistence.valkey.hot_wallets import hot_wallets
from persistence.valkey.keys import epoch_key, outbox_key, wallets_key
from persistence.valkey.outbox_reader import outbox_reader
from persistence.witness import Witness
from service.embedded import EmbeddedCluster
from tests.cluster_calls import (
    PARTITIONS,
    TIMEOUT_S,
    ClusterCalls,
    Migration,
    asked,
    primaries_of,
    primary_of,
    replica_of,
)
from tests.waiting import until

FEW = range(4)


async def write_records(cluster: EmbeddedCluster, count: int) -> None:
    for partition in PARTITIONS:
        node = await primary_of(cluster, outbox_key(partition))
        for sequence in range(count):
            await asked(node, f"XADD {outbox_key(partition)} 1-{sequence} field value{sequence}")


async def test_the_outboxes_of_all_nodes_are_read_and_trimmed(whole: EmbeddedCluster) -> None:
    start = {partition: OutboxPosition(1, -1) for partition in PARTITIONS}
    async with outbox_reader(whole.url, timeout_s=TIMEOUT_S) as reader:
        assert await reader.read(start, count=10, block_ms=1) == {}
        await write_records(whole, 3)

        found = await reader.read(start, count=2, block_ms=1000)
        assert {partition: len(records) for partition, records in found.items()} == dict.fromkeys(
            PARTITIONS, 2
        )
        assert found[5][1].stream_id == "1-1"
        await reader.trim(dict.fromkeys(PARTITIONS, OutboxPosition(1, 1)))

        surveys = await reader.survey(PARTITIONS)
        assert {survey.length for survey in surveys.values()} == {1}
        assert {survey.last for survey in surveys.values()} == {OutboxPosition(1, 2)}


async def test_records_that_come_while_a_clusters_outboxes_are_waited_for_are_read(
    whole: EmbeddedCluster,
) -> None:
    start = {partition: OutboxPosition(1, -1) for partition in PARTITIONS}
    async with outbox_reader(whole.url, timeout_s=TIMEOUT_S) as reader:
        reading = asyncio.create_task(reader.read(start, count=10, block_ms=20_000))
        await asyncio.sleep(0)
        node = await primary_of(whole, outbox_key(7))
        await asked(node, f"XADD {outbox_key(7)} 1-0 field value")

        assert list(await reading) == [7]


async def test_a_survey_tells_the_incarnation_of_the_primary_that_has_the_partition(
    calls: ClusterCalls, whole: EmbeddedCluster
) -> None:
    async with outbox_reader(whole.url, timeout_s=TIMEOUT_S) as reader:
        surveys = await reader.survey(PARTITIONS)
        for partition in PARTITIONS:
            assert surveys[partition].incarnation == await calls.runner.incarnation(epoch_key(partition))


async def test_a_partition_is_taken_over_where_it_lies(whole: EmbeddedCluster) -> None:
    ledger_id = UUID(int=7)
    async with outbox_reader(whole.url, timeout_s=TIMEOUT_S) as reader:
        for partition, survey in (await reader.survey(FEW)).items():
            witness = str(Witness(1, ledger_id, 1, survey.incarnation))
            for expected in (True, False):
                taken = await reader.take_over(
                    partition, found=survey, whatever_came=False, witness=witness, void_up_to=None
                )
                assert taken is expected

        for survey in (await reader.survey(FEW)).values():
            assert survey.witness == str(Witness(1, ledger_id, 1, survey.incarnation))


async def test_a_reader_whose_node_lost_a_slot_finds_it_again(whole: EmbeddedCluster) -> None:
    key = outbox_key(3)
    source = await primary_of(whole, key)
    target = next(node for node in await primaries_of(whole) if node != source)
    async with outbox_reader(whole.url, timeout_s=TIMEOUT_S) as reader:
        migration = Migration(source, target, key)
        for step in (migration.begin, migration.end):
            await step()

        assert 3 not in await reader.survey(PARTITIONS)
        assert "MOVED" in reader.unreached[3]
        assert set(await reader.survey(PARTITIONS)) == set(PARTITIONS)
        assert not reader.unreached


async def test_of_partitions_whose_node_is_away_is_said_why_and_the_others_are_read(
    whole: EmbeddedCluster,
) -> None:
    key = outbox_key(3)
    dead = await primary_of(whole, key)
    replica = await replica_of(dead, whole)
    start = {partition: OutboxPosition(1, -1) for partition in PARTITIONS}
    async with outbox_reader(whole.url, timeout_s=TIMEOUT_S) as reader:
        away = {p for p in PARTITIONS if (await primary_of(whole, outbox_key(p))) == dead}
        await write_records(whole, 1)
        for node in (replica, dead):
            node.process.kill()
            await node.child.exited()

        found = await reader.read(start, count=10, block_ms=1000)
        assert set(found) == set(PARTITIONS) - away
        assert reader.unreached.keys() == away
        await reader.trim(dict.fromkeys(PARTITIONS, OutboxPosition(1, 0)))
        with pytest.raises(StoreUnavailable):
            await reader.survey([3])

    async with outbox_reader(whole.url, timeout_s=TIMEOUT_S) as reader:
        assert set(await reader.survey(PARTITIONS)) == set(PARTITIONS) - away
        await whole.heal()

        async def is_back() -> bool:
            return len(await reader.survey(PARTITIONS)) == len(PARTITIONS)

        await until(is_back, what="the reader finds what was away")
        assert {p for p, survey in (await reader.survey(PARTITIONS)).items() if survey.length} == away


async def test_hot_wallets_of_all_nodes_are_read(whole: EmbeddedCluster) -> None:
    players = [PlayerId(f"p{number}") for number in range(50)]
    for player in players:
        key = wallets_key(partition_of(player, len(PARTITIONS)), player)
        await asked(await primary_of(whole, key), f"HSET {key} EUR 1")

    async with hot_wallets(whole.url, partition_count=len(PARTITIONS), timeout_s=TIMEOUT_S) as hot:
        found = {player async for batch in hot.players(10) for _, player in batch}
        assert found == set(players)
        assert set(await hot.read(players)) == set(players)
        await write_records(whole, 1)
        assert set((await hot.outbox_ends(PARTITIONS)).values()) == {OutboxPosition(1, 0)}


async def test_hot_wallets_of_a_node_that_is_away_keep_nobody_from_those_of_the_others(
    whole: EmbeddedCluster,
) -> None:
    dead = await primary_of(whole, outbox_key(3))
    away = {p for p in PARTITIONS if (await primary_of(whole, outbox_key(p))) == dead}
    players = [PlayerId(f"p{number}") for number in range(50)]
    lost = [player for player in players if partition_of(player, len(PARTITIONS)) in away]
    others = [player for player in players if player not in lost]
    for node in (await replica_of(dead, whole), dead):
        node.process.kill()
        await node.child.exited()

    with pytest.raises(StoreUnavailable):
        async with hot_wallets(whole.url, partition_count=len(PARTITIONS), timeout_s=TIMEOUT_S):
            pass
    async with hot_wallets(
        whole.url, partition_count=len(PARTITIONS), timeout_s=TIMEOUT_S, must_all_answer=False
    ) as hot:
        assert set(await hot.residences(others)) == set(others)
        with pytest.raises(StoreUnavailable):
            await hot.residences(lost)

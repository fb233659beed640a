"""A store that is a Valkey Cluster: every call reaches its partition's primary, and that one alone."""

import asyncio
import signal
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from persistence.errors import (
    DeadlineExceeded,
    IncarnationChanged,
    NotDone,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)
from persistence.transactions import OutboxPosition, PlayerId, partition_of
from persistence.valkey.addresses import NodeAddress, StoreAddress
from persistence.valkey.hot_wallets import hot_wallets
from persistence.valkey.keys import epoch_key, outbox_key, wallets_key
from persistence.valkey.outbox_reader import outbox_reader
from persistence.valkey.topology import Topology, read_topology
from persistence.witness import Witness
from service.embedded import EmbeddedCluster, EmbeddedValkey
from service.telemetry.opening import open_traces
from service.telemetry.trace_settings import TraceSettings
from tests.cluster_calls import (
    PARTITIONS,
    TIMEOUT_S,
    ClusterCalls,
    Migration,
    asked,
    cluster_calls,
    is_primary,
    primaries_of,
    primary_of,
    replica_of,
    runs_key,
    topology_of,
    until_promoted,
)
from tests.hot_path import COUNT, Counting, counting, moment
from tests.trace_collector import trace_collector
from tests.waiting import until

FEW = range(4)


@pytest_asyncio.fixture
async def whole(cluster: EmbeddedCluster) -> AsyncIterator[EmbeddedCluster]:
    """All nodes are up and agree, and there is nothing in them."""
    await cluster.heal()
    for node in await primaries_of(cluster):
        await asked(node, "FLUSHALL")
    yield cluster
    for node in cluster.nodes:
        if node.child.running:
            node.process.send_signal(signal.SIGCONT)


@pytest_asyncio.fixture
async def calls(whole: EmbeddedCluster) -> AsyncIterator[ClusterCalls]:
    async with cluster_calls(whole) as made:
        yield made


async def test_partitions_spread_over_all_primaries_and_each_call_runs_once(
    calls: ClusterCalls, whole: EmbeddedCluster
) -> None:
    keys = [runs_key(partition) for partition in PARTITIONS]

    for expected in (1, 2):
        assert await asyncio.gather(*(calls.count(key) for key in keys)) == [expected] * len(keys)

    kept = {node.port: await asked(node, "DBSIZE") for node in await primaries_of(whole)}
    assert sum(int(str(count)) for count in kept.values()) == len(keys)
    assert len(kept) == 3
    assert all(kept.values())
    assert sum(calls.batches) == 2 * len(keys)
    assert calls.runner.waiting_count == 0


async def test_a_traced_call_is_linked_with_the_batch_on_its_own_primary(calls: ClusterCalls) -> None:
    async with trace_collector() as collector:
        settings = TraceSettings(traces_endpoint=collector.endpoint, traces_ratio=1.0)
        async with open_traces(settings, CollectorRegistry(), role="tests") as traces:
            with traces.incoming("call"):
                await asyncio.gather(*(calls.count(runs_key(partition)) for partition in PARTITIONS))

    [call] = collector.named("call")
    scripts, batches = collector.named("store.script"), collector.named("store.batch")
    assert len(scripts) == len(PARTITIONS)
    assert {span.parent_id for span in scripts} == {call.span_id}
    assert len(batches) >= 3
    assert {link for span in scripts for link in span.links} == {batch.span_id for batch in batches}


async def test_each_partition_has_the_incarnation_of_its_own_primary(
    calls: ClusterCalls, whole: EmbeddedCluster
) -> None:
    incarnations = {await calls.runner.incarnation(runs_key(partition)) for partition in PARTITIONS}

    assert len(incarnations) == 3
    for partition in FEW:
        key = runs_key(partition)
        own = await calls.runner.incarnation(key)
        assert await calls.count(key, own) == 1
        with pytest.raises(IncarnationChanged) as caught:
            await calls.count(key, (incarnations - {own}).pop())
        assert caught.value.found == own
        assert await calls.read(key) == 1


async def test_scripts_that_all_nodes_forgot_are_sent_once_more(
    calls: ClusterCalls, whole: EmbeddedCluster
) -> None:
    for node in whole.nodes:
        await asked(node, "SCRIPT FLUSH")

    counts = await asyncio.gather(*(calls.count(runs_key(partition)) for partition in PARTITIONS))

    assert counts == [1] * len(PARTITIONS)


async def test_a_replica_takes_over_from_a_primary_that_was_killed(whole: EmbeddedCluster) -> None:
    key = runs_key(0)
    async with cluster_calls(whole, replicas=1) as calls:
        before = await calls.runner.incarnation(key)
        assert await calls.count(key, before) == 1
        killed = await primary_of(whole, key)
        elsewhere = [runs_key(p) for p in PARTITIONS if await primary_of(whole, runs_key(p)) != killed]
        killed.process.kill()
        await killed.child.exited()

        assert await calls.count(elsewhere[0]) == 1
        promoted = await refused_until_promoted(calls, key, before)

        await whole.heal()
        assert promoted != before
        assert await calls.count(key, promoted) == 2
        with pytest.raises(IncarnationChanged):
            await calls.count(key, before)


async def refused_until_promoted(calls: ClusterCalls, key: str, before: str) -> str:
    """The incarnation that there is in the place of another one, for which nothing is done any more."""
    async with asyncio.timeout(20.0):
        while True:
            try:
                await calls.count(key, before)
            except IncarnationChanged as error:
                return error.found
            except (StoreUnavailable, OutcomeUnknown):
                await asyncio.sleep(0.01)
            else:
                raise AssertionError("a call was answered by a primary that is gone")


async def test_a_planned_failover_while_calls_go_on_loses_and_doubles_nothing(
    calls: ClusterCalls, whole: EmbeddedCluster
) -> None:
    key = runs_key(0)
    before = incarnation = await calls.runner.incarnation(key)
    replica = await replica_of(await primary_of(whole, key), whole)
    count = 0
    failing_over = asyncio.create_task(asked(replica, "CLUSTER FAILOVER"))

    while incarnation == before or count < 50:
        count, incarnation = await calls.count_until_answered(key, incarnation)

    await failing_over
    assert await primary_of(whole, key) == replica
    assert calls.answered <= count <= calls.answered + calls.unknown


async def test_a_slot_that_migrates_while_calls_go_on_loses_and_doubles_nothing(
    calls: ClusterCalls, whole: EmbeddedCluster
) -> None:
    key = runs_key(0)
    source = await primary_of(whole, key)
    target = next(node for node in await primaries_of(whole) if node != source)
    before = incarnation = await calls.runner.incarnation(key)
    assert await calls.count(key, before) == 1
    migration = Migration(source, target, key)

    await migration.begin()
    assert await calls.count(key, before) == 2
    await migration.move_key()
    with pytest.raises(StoreUnavailable, match="ASK"):
        await calls.count(key, before)
    await migration.end()
    with pytest.raises(IncarnationChanged) as caught:
        await calls.count(key, before)

    incarnation = caught.value.found
    assert incarnation == await calls.runner.incarnation(key)
    assert await calls.count(key, incarnation) == 3
    assert calls.unknown == 0


async def test_a_call_that_names_no_incarnation_follows_its_slot(
    calls: ClusterCalls, whole: EmbeddedCluster
) -> None:
    key = runs_key(1)
    await calls.count(key)
    source = await primary_of(whole, key)
    target = next(node for node in await primaries_of(whole) if node != source)
    migration = Migration(source, target, key)
    for step in (migration.begin, migration.move_key, migration.end):
        await step()

    assert await calls.count(key) == 2


async def test_an_incarnation_that_was_found_elsewhere_is_looked_for_there(whole: EmbeddedCluster) -> None:
    """The first runner's topology is old: who took the partition over has looked after it did."""
    key = runs_key(2)
    async with cluster_calls(whole) as calls:
        await calls.count(key)
        primary = await primary_of(whole, key)
        replica = await replica_of(primary, whole)
        await asked(replica, "CLUSTER FAILOVER")
        await until_promoted(replica)
        await until(lambda: is_demoted(primary), what="the old primary knows")
        async with cluster_calls(whole) as newer:
            incarnation = await newer.runner.incarnation(key)

        assert await calls.count(key, incarnation) == 2


async def is_demoted(node: EmbeddedValkey) -> bool:
    return not await is_primary(node)


async def test_a_frozen_primary_that_comes_back_after_a_failover_acknowledges_nothing(
    whole: EmbeddedCluster,
) -> None:
    """It is asked without the topology. With replicas to confirm, not even the moment counts in which it does
    not know yet.
    """
    key = runs_key(0)
    frozen = await primary_of(whole, key)
    replica = await replica_of(frozen, whole)
    async with (
        cluster_calls(whole, replicas=1) as calls,
        counting(frozen.url, timeout_s=TIMEOUT_S, replicas=1) as stale,
    ):
        before = await calls.runner.incarnation(key)
        assert await calls.count(key, before) == 1
        frozen.process.send_signal(signal.SIGSTOP)
        await until_promoted(replica)
        promoted = await refused_until_promoted(calls, key, before)

        frozen.process.send_signal(signal.SIGCONT)
        await until(lambda: refuses(stale, key, before), what="the old primary knows that it is a replica")
        with pytest.raises(IncarnationChanged):
            await calls.count(key, before)

        await whole.until_whole()
        assert await calls.count(key, promoted) == 2


async def test_a_call_that_a_frozen_primary_runs_after_it_was_replaced_is_not_acknowledged(
    whole: EmbeddedCluster,
) -> None:
    """Without replicas to confirm it is: the node does not know yet, and its write is lost with its data."""
    key = runs_key(0)
    frozen = await primary_of(whole, key)
    replica = await replica_of(frozen, whole)
    async with counting(frozen.url, timeout_s=20.0, replicas=1) as stale:
        frozen.process.send_signal(signal.SIGSTOP)
        call = await stale.start_and_send(key=key)
        await until_promoted(replica)
        frozen.process.send_signal(signal.SIGCONT)

        with pytest.raises(OutcomeUnknown):
            await call

    await whole.until_whole()
    async with cluster_calls(whole) as calls:
        assert await calls.read(key) == 0


async def refuses(stale: Counting, key: str, incarnation: str) -> bool:
    """Whether a node says that it is a replica. It must not have answered."""
    try:
        await stale.run(key=key, incarnation=incarnation)
    except StoreUnavailable as error:
        return "is a replica" in str(error)
    except OutcomeUnknown:
        return False
    raise AssertionError("a primary that was replaced has answered")


async def test_a_batch_whose_last_slot_has_moved_is_confirmed_all_the_same(whole: EmbeddedCluster) -> None:
    stays, moves = await two_keys_of_one_primary(whole)
    source = await primary_of(whole, stays)
    target = next(node for node in await primaries_of(whole) if node != source)
    migration = Migration(source, target, moves)
    for step in (migration.begin, migration.end):
        await step()

    async with counting(source.url, timeout_s=TIMEOUT_S, replicas=1) as runner:
        answered = asyncio.create_task(runner.run(key=stays))
        refused = asyncio.create_task(runner.run(key=moves))

        assert await answered == "1"
        with pytest.raises(StoreUnavailable, match="MOVED"):
            await refused
        assert (runner.batches, runner.unconfirmed) == ([2], 0)


async def two_keys_of_one_primary(cluster: EmbeddedCluster) -> tuple[str, str]:
    topology = await topology_of(cluster)
    first, *others = (runs_key(partition) for partition in PARTITIONS)
    return first, next(key for key in others if topology.primary_of(key) == topology.primary_of(first))


async def test_too_many_calls_for_all_nodes_together_are_shed(
    calls: ClusterCalls, whole: EmbeddedCluster
) -> None:
    for node in whole.nodes:
        node.process.send_signal(signal.SIGSTOP)
    waiting = [asyncio.create_task(calls.count(runs_key(number % 16))) for number in range(1100)]
    await asyncio.wait(waiting, timeout=0.3)
    for node in whole.nodes:
        node.process.send_signal(signal.SIGCONT)

    said = await asyncio.gather(*waiting, return_exceptions=True)

    assert sum(isinstance(answer, Overloaded) for answer in said) > 0
    assert all(isinstance(answer, int | NotDone | OutcomeUnknown) for answer in said)


async def test_stopping_answers_every_call(whole: EmbeddedCluster) -> None:
    async with cluster_calls(whole) as calls:
        for node in whole.nodes:
            node.process.send_signal(signal.SIGSTOP)
        waiting = [asyncio.create_task(calls.count(runs_key(partition))) for partition in FEW]
        await asyncio.wait(waiting, timeout=0.05)

    said = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, NotDone | OutcomeUnknown) for answer in said)
    with pytest.raises(StoreUnavailable, match="stopping"):
        await calls.count(runs_key(0))


async def test_a_cluster_of_which_no_node_answers_is_unavailable() -> None:
    address = StoreAddress.parse("redis+cluster://127.0.0.1:1,127.0.0.1:2/")

    with pytest.raises(StoreUnavailable, match="no node of the store could be reached"):
        await read_topology(address, timeout_s=TIMEOUT_S)


async def test_a_frozen_node_does_not_delay_the_view_of_the_others(whole: EmbeddedCluster) -> None:
    whole.nodes[1].process.send_signal(signal.SIGSTOP)

    async with asyncio.timeout(5.0):
        topology = await read_topology(StoreAddress.parse(whole.url), timeout_s=60.0)

    assert len(topology.primaries) == 3


async def test_a_slot_that_nobody_has_is_unavailable() -> None:
    topology = Topology(1, True, ((0, 99, NodeAddress("a", 1)), (200, 299, NodeAddress("b", 2))), frozenset())

    for key in (runs_key(partition) for partition in PARTITIONS):
        with pytest.raises(StoreUnavailable, match="no primary of the store has slot"):
            topology.primary_of(key)


async def test_a_call_whose_deadline_passes_while_the_primaries_are_looked_for_is_told_so(
    whole: EmbeddedCluster,
) -> None:
    async with cluster_calls(whole, timeout_s=20.0) as calls:
        for node in whole.nodes:
            node.process.send_signal(signal.SIGSTOP)
        with pytest.raises((DeadlineExceeded, OutcomeUnknown)):
            await calls.runner.run(COUNT, [runs_key(0)], [""], deadline=moment(0.1))


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

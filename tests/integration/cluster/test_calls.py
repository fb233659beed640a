"""Every call reaches its partition's primary, and that one alone, wherever its slot moves."""

import asyncio
import signal

import pytest
from prometheus_client import CollectorRegistry

from persistence.errors import (
    DeadlineExceeded,
    IncarnationChanged,
    NotDone,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)
from service.embedded import EmbeddedCluster
from service.telemetry.opening import open_traces
from service.telemetry.trace_settings import TraceSettings
from tests.cluster_calls import (
    PARTITIONS,
    TIMEOUT_S,
    ClusterCalls,
    Migration,
    asked,
    cluster_calls,
    primaries_of,
    primary_of,
    runs_key,
    topology_of,
)
from tests.hot_path import COUNT, counting, moment
from tests.trace_collector import trace_collector

FEW = range(4)


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


async def test_a_call_whose_deadline_passes_while_the_primaries_are_looked_for_is_told_so(
    whole: EmbeddedCluster,
) -> None:
    async with cluster_calls(whole, timeout_s=20.0) as calls:
        for node in whole.nodes:
            node.process.send_signal(signal.SIGSTOP)
        with pytest.raises((DeadlineExceeded, OutcomeUnknown)):
            await calls.runner.run(COUNT, [runs_key(0)], [""], deadline=moment(0.1))

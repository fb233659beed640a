"""Primaries that are killed, frozen or replaced: what they did is told, or not acknowledged."""

import asyncio
import signal

import pytest

from persistence.errors import (
    IncarnationChanged,
    OutcomeUnknown,
    StoreUnavailable,
)
from persistence.valkey.addresses import NodeAddress, StoreAddress
from persistence.valkey.topology import Topology, read_topology
from service.embedded import EmbeddedCluster, EmbeddedValkey
from tests.cluster_calls import (
    PARTITIONS,
    TIMEOUT_S,
    ClusterCalls,
    asked,
    cluster_calls,
    is_primary,
    primary_of,
    replica_of,
    runs_key,
    until_promoted,
)
from tests.hot_path import Counting, counting
from tests.waiting import until


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

"""A Valkey Cluster that is whole when a test begins, and calls to it."""

import signal
from collections.abc import AsyncIterator

import pytest_asyncio

from service.embedded import EmbeddedCluster
from tests.cluster_calls import (
    ClusterCalls,
    asked,
    cluster_calls,
    primaries_of,
)


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

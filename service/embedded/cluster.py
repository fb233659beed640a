"""A Valkey Cluster of child processes: three primaries, each with a replica, for the tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from service.embedded.errors import StartFailed
from service.embedded.ports import LOOPBACK, free_port
from service.embedded.valkey import EmbeddedValkey, answers, embedded_valkey

PRIMARY_COUNT = 3
SLOT_COUNT = 16384
NODE_TIMEOUT_MS = 1000
START_TIMEOUT_S = 60.0
POLL_S = 0.05


class EmbeddedCluster:
    """Six servers; the first three are primaries at first. Tests may freeze or kill ``nodes``.

    ``port_of`` gives ports: what is started again under load needs some that nobody takes meanwhile.
    """

    def __init__(self, folder: Path, *, port_of: Callable[[], int] = free_port) -> None:
        self._folder = folder
        self._ports = [(port_of(), port_of()) for _ in range(2 * PRIMARY_COUNT)]
        self._running: list[AsyncExitStack] = [AsyncExitStack() for _ in self._ports]
        self.nodes: list[EmbeddedValkey] = []

    @property
    def url(self) -> str:
        """The address of the whole, by way of its first two nodes."""
        seeds = ",".join(f"{LOOPBACK}:{port}" for port, _ in self._ports[:2])
        return f"redis+cluster://{seeds}/"

    async def start(self) -> None:
        for number in range(len(self._ports)):
            self.nodes.append(await self._start_node(number))
        await self._join()
        await self.until_whole()

    async def stop(self) -> None:
        """Also those that a test froze or killed."""
        for running in reversed(self._running):
            await running.aclose()

    async def heal(self) -> None:
        """Starts again what was killed, and waits until every primary has its replica."""
        for number, node in enumerate(self.nodes):
            if not node.child.running:
                await self._running[number].aclose()
                self.nodes[number] = await self._start_node(number)
        await self.until_whole()

    async def until_whole(self) -> None:
        """Until every primary has its replica, and all nodes think so."""
        await _until(self._is_whole, what="come together")

    async def _start_node(self, number: int) -> EmbeddedValkey:
        port, bus_port = self._ports[number]
        options = {
            "--cluster-enabled": "yes",
            "--cluster-port": str(bus_port),
            "--cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "--cluster-require-full-coverage": "no",
            "--cluster-allow-replica-migration": "no",
            "--repl-diskless-sync-delay": "0",
            "--shutdown-timeout": "0",
        }
        extra = [word for option in options.items() for word in option]
        server = embedded_valkey(self._folder / f"node{number}", port=port, extra=extra)
        return await self._running[number].enter_async_context(server)

    async def _join(self) -> None:
        """Gives out the slots, introduces all to the first one, and the replicas to their primaries."""
        share = SLOT_COUNT // PRIMARY_COUNT + 1
        ids = [(await self._ask(number, "CLUSTER MYID")).split()[1] for number in range(len(self.nodes))]
        for number in range(len(self.nodes)):
            await self._ask(number, f"CLUSTER SET-CONFIG-EPOCH {number + 1}")
            if number < PRIMARY_COUNT:
                last = min((number + 1) * share, SLOT_COUNT) - 1
                await self._ask(number, f"CLUSTER ADDSLOTSRANGE {number * share} {last}")
            if number:
                port, bus_port = self._ports[number]
                await self._ask(0, f"CLUSTER MEET {LOOPBACK} {port} {bus_port}")
        for number in range(PRIMARY_COUNT, len(self.nodes)):
            replicate = f"CLUSTER REPLICATE {ids[number - PRIMARY_COUNT]}"
            await _until(lambda: self._agrees(number, replicate), what="learn of one another")  # noqa: B023

    async def _is_whole(self) -> bool:
        """Whether all nodes know of three primaries with a replica each, and these are synchronised."""
        primaries = 0
        for number in range(len(self.nodes)):
            said = await self._ask(number, "INFO replication", "CLUSTER INFO", "CLUSTER NODES")
            is_primary = "role:master\r\n" in said
            primaries += is_primary
            linked = "connected_slaves:1\r\n" if is_primary else "master_link_status:up\r\n"
            nodes = [line.split() for line in said.splitlines() if f" {LOOPBACK}:" in line]
            fit = [node for node in nodes if "fail" not in node[2] and node[7] == "connected"]
            if linked not in said or "cluster_state:ok\r\n" not in said or len(fit) != len(self.nodes):
                return False
        return primaries == PRIMARY_COUNT

    async def _agrees(self, number: int, command: str) -> bool:
        return (await self._ask(number, command)).startswith("+OK")

    async def _ask(self, number: int, *commands: str) -> str:
        lines = "".join(f"{command}\r\n" for command in commands)
        return (await answers(self._ports[number][0], lines.encode())).decode(errors="replace")


@asynccontextmanager
async def embedded_cluster(folder: Path) -> AsyncIterator[EmbeddedCluster]:
    """Run a Cluster that has come together when the context is entered."""
    cluster = EmbeddedCluster(folder.absolute())
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


async def _until(holds: Callable[[], Awaitable[bool]], *, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            raise StartFailed(f"the Cluster's nodes did not {what}")
        await asyncio.sleep(POLL_S)

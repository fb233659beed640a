"""Names of a cluster's services, on a machine that has no such cluster.

gRPC hands a name to the proxy that its environment names, and looks nothing up itself; whose certificate it
expects stays the same. So this proxy is the cluster's DNS and its network at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.embedded.ports import LOOPBACK

_MOST_BYTES = 65_536


@asynccontextmanager
async def cluster_names(address_of: Callable[[str], str | None]) -> AsyncIterator[dict[str, str]]:
    """The environment with which a process finds the services.

    `address_of` a service's ``name:port`` says where on this machine it is; None: there is none.
    """
    tunnels: set[asyncio.Task[None]] = set()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        method, name, _ = asked.split(b" ", 2)
        address = address_of(name.decode()) if method == b"CONNECT" else None
        if address is None:
            writer.write(b"HTTP/1.1 502 No such service\r\n\r\n")
            writer.close()
            return
        host, _, port = address.rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for task in (asyncio.create_task(_pass(reader, forth)), asyncio.create_task(_pass(back, writer))):
            tunnels.add(task)
            task.add_done_callback(tunnels.discard)

    server = await asyncio.start_server(connect, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield {"grpc_proxy": f"http://{LOOPBACK}:{port}"}
    finally:
        server.close()
        for task in tunnels:
            task.cancel()
        await asyncio.gather(*tunnels, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of a tunnel, until either end closes."""
    try:
        while part := await reader.read(_MOST_BYTES):
            writer.write(part)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()

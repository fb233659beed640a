"""From a command line to a server that answers on its port."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.embedded.children import Child, until_ready
from service.embedded.errors import StartFailed
from service.embedded.ports import free_port, require_free

PORT_RACES = 5


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one server is started; `port_lost` is what it logs when another process binds the port first."""

    name: str
    spawn: Callable[[int], Child]
    ready: Callable[[Child, int], Awaitable[bool]]
    stop: Callable[[Child], Awaitable[None]]
    port_lost: str
    timeout_s: float

    async def start(self, port: int) -> tuple[Child, int]:
        """A ready server and its port: the one asked for, or for 0 a free one, another if that is lost."""
        if port:
            require_free(port, server=self.name)
            return await self._try(port), port
        for _ in range(PORT_RACES - 1):
            candidate = free_port()
            try:
                return await self._try(candidate), candidate
            except StartFailed as failure:
                if self.port_lost not in str(failure):
                    raise
        candidate = free_port()
        return await self._try(candidate), candidate

    async def _try(self, port: int) -> Child:
        child = self.spawn(port)
        try:
            await until_ready(child, lambda: self.ready(child, port), timeout_s=self.timeout_s)
        except BaseException:
            await self.stop(child)
            raise
        return child

"""A connection to one Valkey primary that is known to keep what it acknowledges, and to know the scripts."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from redis.asyncio import Connection
from redis.exceptions import RedisError, ResponseError

from lua import Script
from persistence.errors import StoreUnavailable
from persistence.valkey.confirmation import offers_waitaof
from persistence.valkey.incarnations import incarnation_of
from persistence.valkey.store_checks import ADVISED_SETTINGS, CHECKED_SETTINGS, advice, check_store

_log = structlog.get_logger(__name__)


class SafeConnection:
    """Connects when asked to, and anew where the connection broke.

    The store's settings and its incarnation are checked at every connect, and whenever the last check is
    ``check_every_s`` old: settings change at run time, a primary may have become a replica, and a connection
    that was idle may be gone. A connection has one incarnation as long as it is used; where a check finds
    another, the connection is made anew. ``timeout_s`` bounds a connect, and a check. ``replicas`` is the
    number of those that are to confirm what is answered.
    """

    def __init__(
        self,
        connection_of: Callable[[], Connection],
        *,
        scripts: Sequence[Script],
        timeout_s: float,
        check_every_s: float,
        replicas: int = 0,
    ) -> None:
        self._connection_of = connection_of
        self._scripts = scripts
        self._timeout_s = timeout_s
        self._check_every_s = check_every_s
        self._replicas = replicas
        self._waitaof = False
        self._check_time = 0.0
        self._connection: Connection | None = None
        self._incarnation = ""

    @property
    def incarnation(self) -> str:
        """The incarnation of the primary that was connected last; empty before the first."""
        return self._incarnation

    @property
    def waitaof(self) -> bool:
        """Whether the server that was connected last has WAITAOF; asked only where replicas confirm."""
        return self._waitaof

    async def connected(self) -> Connection:
        """The connection. Raises StoreUnavailable, or StoreUnsafe with what to change; nothing was sent."""
        if self._connection is not None and await self._is_still_fit(self._connection):
            return self._connection
        await self.drop()
        connection = self._connection_of()
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
                self._incarnation = await self._check(connection)
                await self.load_scripts(connection)
                if self._replicas:
                    await self._see_what_confirms(connection)
        except (TimeoutError, OSError, RedisError) as error:
            await connection.disconnect(nowait=True)
            raise StoreUnavailable(f"the store cannot be reached: {sentence_of(error)}") from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        return connection

    async def load_scripts(self, connection: Connection) -> None:
        for script in self._scripts:
            await connection.send_command("SCRIPT", "LOAD", script.source)
            await connection.read_response()

    async def drop(self) -> None:
        """Breaks the connection off: what was sent on it and not answered stays unanswered."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.disconnect(nowait=True)

    async def _is_still_fit(self, connection: Connection) -> bool:
        """Whether the connection can be used. Raises StoreUnsafe; the connection is dropped then."""
        if not connection.is_connected:
            return False
        if asyncio.get_running_loop().time() < self._check_time:
            return True
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._check(connection) == self._incarnation
        except (TimeoutError, OSError, RedisError, StoreUnavailable):
            return False
        except BaseException:  # also a cancelled caller's: an answer to the check may still be on its way
            await self.drop()
            raise

    async def _see_what_confirms(self, connection: Connection) -> None:
        self._waitaof = await offers_waitaof(connection)
        await connection.send_command("CONFIG", "GET", *ADVISED_SETTINGS)
        advised = await _pairs_response(connection)
        _log.info(
            "replicas_confirm",
            replicas=self._replicas,
            command="WAITAOF" if self._waitaof else "WAIT",
            advice=advice(advised, self._replicas),
        )

    async def _check(self, connection: Connection) -> str:
        """The incarnation of a primary whose settings are safe."""
        await connection.send_command("INFO", "server")
        server = str(await _text_response(connection))
        version = server.split("redis_version:")[1].split(maxsplit=1)[0]
        await connection.send_command("CONFIG", "GET", *CHECKED_SETTINGS)
        check_store(version, await _pairs_response(connection))
        await connection.send_command("INFO", "replication")
        incarnation = incarnation_of(str(await _text_response(connection)))
        self._check_time = asyncio.get_running_loop().time() + self._check_every_s
        return incarnation


def sentence_of(error: BaseException) -> str:
    """What an error says; its name where it says nothing, as timeouts do."""
    return str(error) or type(error).__name__


async def _text_response(connection: Connection) -> object:
    response = await connection.read_response()
    if isinstance(response, list):
        return [item.decode() for item in response]
    return response.decode() if isinstance(response, bytes) else response


async def _pairs_response(connection: Connection) -> dict[str, str]:
    """Settings; none where they may not be read, or the server is too old to understand the question."""
    try:
        pairs = await _text_response(connection)
    except ResponseError:
        return {}
    return dict(zip(pairs[0::2], pairs[1::2], strict=True)) if isinstance(pairs, list) else {}

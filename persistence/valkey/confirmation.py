"""Asks a primary whether its replicas have what it answered, too: the durability ``replicated``.

WAIT and WAITAOF wait for what their own connection wrote last. But an answer may show what another connection
wrote, of this server or of another one, and what was not confirmed then: the replay of a call whose outcome
was unknown, a read, a refusal. So each batch ends with a write of its own, behind which everything lies that
an answer of the batch could have seen, and the replicas are asked for that one. Nothing has to be remembered
about batches that were not confirmed, and no other connection can make an answer unsafe.

WAITAOF states that the write is on the disks, here and there. By itself it takes a second, the replica's
habit to report unasked: it asks the replica at once, which answers before it has synced. WAIT in front of it
waits for that first answer, so that WAITAOF asks when the replica has synced: half a millisecond in all.
A server without WAITAOF (before Valkey or Redis 7.2) is asked by WAIT alone: the replicas have received the
write; that they sync it before they say so is then up to their own ``appendfsync always``.
"""

import math

from hiredis import pack_command
from redis.asyncio import Connection
from redis.exceptions import ResponseError

from persistence.valkey.slots import confirmation_key

_SHARE = 0.4
"""How much of a batch's time each of WAIT and WAITAOF may take, the server's lateness included."""
_LATENESS_MS = 100
"""By how much the server may be late to say that the time is over: it looks ten times a second."""


async def offers_waitaof(connection: Connection) -> bool:
    """Whether the server has WAITAOF. Raises RedisError where it may not be asked."""
    await connection.send_command("WAITAOF", "0", "0", "1")
    try:
        await connection.read_response()
    except ResponseError as error:
        if "unknown command" in str(error):
            return False
        raise
    return True


class Confirmation:
    """Asks for ``replicas`` of them, and takes no longer than a batch that may take ``timeout_s``."""

    def __init__(self, replicas: int, *, timeout_s: float) -> None:
        self._replicas = replicas
        patience_ms = str(max(1, int(timeout_s * 1000 * _SHARE) - _LATENESS_MS))
        self._wait = pack_command(("WAIT", str(replicas), patience_ms))  # type: ignore[arg-type]
        self._waitaof = pack_command(("WAITAOF", "1", str(replicas), patience_ms))  # type: ignore[arg-type]

    def question(self, key: str, *, waitaof: bool) -> list[bytes]:
        """The commands that end a batch. ``key`` is one of the batch's: the write lies beside it."""
        write = pack_command(("SET", confirmation_key(key), "1"))  # type: ignore[arg-type]
        return [write, self._wait, self._waitaof] if waitaof else [write, self._wait]

    async def is_confirmed(self, connection: Connection, *, waitaof: bool) -> bool:
        """Reads the answers to ``question``. Raises ResponseError where the server refused it."""
        answers = [await _read(connection) for _ in range(3 if waitaof else 2)]
        for said in answers:
            if isinstance(said, ResponseError):
                raise said
        match answers[-1]:
            case [1, int(count)] | int(count):  # WAITAOF: this disk, and how many others; WAIT: how many
                return count >= self._replicas
            case _:
                return False


async def _read(connection: Connection) -> object:
    try:
        return await connection.read_response(timeout=math.inf, disconnect_on_error=False)
    except ResponseError as error:
        return error

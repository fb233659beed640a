"""Sends a batch to a node, reads its answers, and settles its calls."""

import math
import time
from collections.abc import Sequence

import structlog
from redis.asyncio import Connection
from redis.exceptions import BusyLoadingError, NoScriptError, RedisError, ResponseError

from persistence.errors import OutcomeUnknown
from persistence.valkey.confirmation import Confirmation
from persistence.valkey.server_errors import says_demoted
from persistence.valkey.stages import OnStage, Stage
from persistence.valkey.waiting_calls import WaitingCall, settle

_log = structlog.get_logger(__name__)


class Exchange:
    """One batch's questions and answers. A connection that breaks meanwhile raises RedisError or OSError.

    ``demoted``: the node has answered as one that is not the primary, or may not be. ``unconfirmed``: the
    replicas did not confirm the batch in time. Without a ``confirmation`` they are not asked.
    """

    def __init__(
        self,
        connection: Connection,
        confirmation: Confirmation | None,
        *,
        waitaof: bool,
        on_stage: OnStage = lambda stage, seconds: None,
    ) -> None:
        self._connection = connection
        self._confirmation = confirmation
        self._waitaof = waitaof
        self._on_stage = on_stage
        self.demoted = False
        self.unconfirmed = False

    async def run(self, batch: list[WaitingCall]) -> list[WaitingCall]:
        """Sends all, reads all, and returns those whose script the node did not know."""
        if not batch:
            return []
        commands = [call.command for call in batch]
        sent = time.perf_counter()
        if self._confirmation is None:
            await self._send(commands)
            unknown = await self._read(batch, None)
            self._on_stage(Stage.SCRIPT, time.perf_counter() - sent)
            return unknown
        answered: list[tuple[WaitingCall, Sequence[bytes]]] = []
        await self._send([*commands, *self._confirmation.question(batch[-1].key, waitaof=self._waitaof)])
        unknown = await self._read(batch, answered)
        ran = time.perf_counter()
        self._on_stage(Stage.SCRIPT, ran - sent)
        is_confirmed = await self._is_confirmed(self._confirmation, batch[-1].key, answered)
        self._on_stage(Stage.CONFIRMATION, time.perf_counter() - ran)
        if is_confirmed:
            for call, reply in answered:
                call.reply(reply)
        elif answered:
            self.unconfirmed = True
            _log.warning("batch_unconfirmed", size=len(answered))
            settle((call for call, _ in answered), lambda: OutcomeUnknown("durability was not confirmed"))
        return unknown

    async def _send(self, commands: list[bytes]) -> None:
        await self._connection.send_packed_command(commands, check_health=False)

    async def _read(
        self, batch: list[WaitingCall], unconfirmed: list[tuple[WaitingCall, Sequence[bytes]]] | None
    ) -> list[WaitingCall]:
        """Reads a batch's answers. Replies go to their calls, or together with these to ``unconfirmed``."""
        unknown: list[WaitingCall] = []
        for call in batch:
            try:
                reply = await self._connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except NoScriptError:
                unknown.append(call)
            except (ResponseError, BusyLoadingError) as error:
                call.refuse(error)
                self._note(error)
            else:
                if unconfirmed is None:
                    call.reply(reply)
                else:
                    unconfirmed.append((call, reply))
        return unknown

    async def _is_confirmed(
        self, confirmation: Confirmation, asked_key: str, answered: list[tuple[WaitingCall, Sequence[bytes]]]
    ) -> bool:
        confirmed = await self._confirmed(confirmation)
        if confirmed is None and answered and (key := answered[-1][0].key) != asked_key:
            # The slot that was written to is not here any more; this key's one is, for its call has run.
            await self._send(confirmation.question(key, waitaof=self._waitaof))
            confirmed = await self._confirmed(confirmation)
        return bool(confirmed)

    async def _confirmed(self, confirmation: Confirmation) -> bool | None:
        """None where the server refused the question."""
        try:
            return await confirmation.is_confirmed(self._connection, waitaof=self._waitaof)
        except ResponseError as error:
            _log.warning("confirmation_refused", error=str(error))
            self._note(error)
            return None

    def _note(self, error: RedisError) -> None:
        self.demoted = self.demoted or says_demoted(error)

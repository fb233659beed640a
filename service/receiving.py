"""Receives a submission: reads the stream of its messages, checks every command, and digests them.

Checking takes as long as a call's own checks, for each command. It is done in small portions, and takes no
more than a third of the loop's time, so that live calls hardly wait for it.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from persistence.errors import DeadlineExceeded, FieldInvalid, QuoteMismatch
from persistence.inbox import NewCommand
from persistence.transactions import partition_of
from service.callers.gate import CommandGate
from service.conversions.commands import command_call, source_id_of
from service.conversions.fields import read_transaction_id
from service.quotes import Quotes
from service.registry import Registry
from stakehold.v1 import command_pb2
from stakehold.v1 import submission_service_pb2 as pb

MAX_COMMANDS = 1_000_000
_PORTION = 16
_REST = 2.0
"""How long to leave the loop to others after a portion, as a multiple of what it took."""
_LEAST_REST_S = 0.001
"""The loop's clock ticks in milliseconds."""
_CHUNK = 512
_LONGEST_SILENCE_S = 20.0
"""A caller that is slower is told so: what it holds open is a transaction of the database."""


class _Requests(Protocol):
    """The stream, as gRPC gives it."""

    def __aiter__(self) -> AsyncIterator[pb.SubmitRequest]: ...


class Reception:
    """One submission that is being received. ``open`` reads the first message, ``chunks`` all of it."""

    def __init__(
        self,
        requests: _Requests,
        gate: CommandGate,
        registry: Registry,
        quotes: Quotes,
        *,
        partition_count: int,
    ) -> None:
        self._requests = aiter(requests)
        self._gate = gate
        self._registry = registry
        self._quotes = quotes
        self._partition_count = partition_count
        self._first = pb.SubmitRequest()
        self._digest = hashlib.sha256()
        self._count = 0
        self._expected = 0
        self.source_id = ""
        self.submission_id = ""

    async def open(self) -> None:
        """Reads whose submission it is. Raises FieldInvalid, SourceNotPermitted and SourceNotFound."""
        self._first = await self._next() or self._first
        self._gate.require_source(self._first.source_id)
        self.submission_id = read_transaction_id(self._first.submission_id, "submission_id")
        self.source_id = self._registry.source(self._first.source_id).source_id

    async def chunks(self) -> AsyncIterator[Sequence[NewCommand]]:
        """All commands, checked. Raises FieldInvalid with the command's place, SourceNotPermitted,
        VerbNotPermitted, and DeadlineExceeded.
        """
        message: pb.SubmitRequest | None = self._first
        chunk: list[NewCommand] = []
        while message is not None:
            self._check(message)
            for start in range(0, len(message.commands), _PORTION):
                began = time.perf_counter()
                chunk += [self._read(command) for command in message.commands[start : start + _PORTION]]
                await asyncio.sleep(max(_LEAST_REST_S, _REST * (time.perf_counter() - began)))
                if len(chunk) >= _CHUNK:
                    yield chunk
                    chunk = []
            message = await self._next()
        if chunk:
            yield chunk
        if not self._count:
            raise FieldInvalid("commands", "must be at least one")
        if self._expected not in {0, self._count}:
            raise FieldInvalid("command_count", f"must be how many came, {self._count}")

    def digest(self) -> bytes:
        """SHA-256 of what was read so far: each command's length and bytes."""
        return self._digest.digest()

    async def _next(self) -> pb.SubmitRequest | None:
        try:
            async with asyncio.timeout(_LONGEST_SILENCE_S):
                return await anext(self._requests, None)
        except TimeoutError:
            raise DeadlineExceeded("the next message did not come") from None

    def _check(self, message: pb.SubmitRequest) -> None:
        if message.source_id not in {"", self.source_id}:
            raise FieldInvalid("source_id", "must be the first message's, or left out")
        if message.submission_id not in {"", self.submission_id}:
            raise FieldInvalid("submission_id", "must be the first message's, or left out")
        if self._count + len(message.commands) > MAX_COMMANDS:
            raise FieldInvalid("commands", f"must be at most {MAX_COMMANDS} in all")
        if message.command_count < 0 or (
            message.command_count and self._expected not in {0, message.command_count}
        ):
            raise FieldInvalid("command_count", "must be the same in all messages that say it")
        self._expected = message.command_count or self._expected

    def _read(self, command: command_pb2.Command) -> NewCommand:
        operation = command.WhichOneof("operation")
        path = f"commands[{self._count}]"
        if operation:
            path = f"{path}.{operation}"
            if source_id_of(command) != self.source_id:
                raise FieldInvalid(f"{path}.source_id", "must be the submission's")
        self._gate.require(command)
        try:
            call = command_call(command, self._registry, self._quotes)
        except FieldInvalid as error:
            raise error.within(path) from None
        except QuoteMismatch as error:
            raise FieldInvalid(f"{path}.quote_id", str(error)) from None
        kept = command.SerializeToString(deterministic=True)
        self._digest.update(len(kept).to_bytes(4, "big"))
        self._digest.update(kept)
        self._count += 1
        return NewCommand(
            partition_of(call.player_id, self._partition_count),
            call.player_id,
            call.steps[0].transaction_id,
            kept,
        )

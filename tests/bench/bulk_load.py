"""The load of BulkService: the same bets as unary calls send, many in a call."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, cast

import grpc

from stakehold.v1 import bulk_service_pb2, command_pb2, wallet_service_pb2
from tests.bench.load_log import LoadLog
from tests.bench.workload import PATHS

BATCH_SIZE = 1_000
"""Commands in one batch: as many as there may be."""


def batches(debits: list[bytes]) -> list[bytes]:
    commands = [_command(debit) for debit in debits]
    return [
        bulk_service_pb2.BatchRequest(commands=commands[start : start + BATCH_SIZE]).SerializeToString()
        for start in range(0, len(commands), BATCH_SIZE)
    ]


def stream_messages(debits: list[bytes]) -> list[bytes]:
    """Each is called by its place."""
    return [
        bulk_service_pb2.StreamRequest(
            correlation_id=str(number), command=_command(debit)
        ).SerializeToString()
        for number, debit in enumerate(debits)
    ]


def _command(debit: bytes) -> command_pb2.Command:
    return command_pb2.Command(debit=wallet_service_pb2.DebitRequest.FromString(debit))


async def send_batches(
    channel: grpc.aio.Channel, prepared: list[bytes], concurrency: int, log: LoadLog
) -> None:
    """So many batches at once; a command's latency is its batch's."""
    send = cast(Any, channel.unary_unary(PATHS["batch"]))
    waiting = iter(prepared)

    async def caller() -> None:
        for request in waiting:
            started = time.perf_counter()
            answer = bulk_service_pb2.BatchResponse.FromString(await send(request))
            elapsed_s = time.perf_counter() - started
            for result in answer.results:
                _note(result, elapsed_s, log)

    await asyncio.gather(*(caller() for _ in range(concurrency)))


async def stream(channel: grpc.aio.Channel, prepared: list[bytes], concurrency: int, log: LoadLog) -> None:
    """So many streams at once, a command a message, sent as fast as the server takes them."""
    sent_at = [0.0] * len(prepared)
    numbered = enumerate(prepared)

    async def streamed() -> None:
        call = cast(Any, channel.stream_stream(PATHS["stream"]))()
        writing = asyncio.create_task(_write(call, numbered, sent_at))
        while (message := await call.read()) is not grpc.aio.EOF:
            now = time.perf_counter()
            for answer in bulk_service_pb2.StreamResponse.FromString(message).results:
                _note(answer.result, now - sent_at[int(answer.correlation_id)], log)
        await writing

    await asyncio.gather(*(streamed() for _ in range(concurrency)))


async def _write(call: Any, numbered: Iterator[tuple[int, bytes]], sent_at: list[float]) -> None:
    for number, message in numbered:
        sent_at[number] = time.perf_counter()
        await call.write(message)
    await call.done_writing()


def _note(result: command_pb2.CommandResult, elapsed_s: float, log: LoadLog) -> None:
    if result.HasField("done"):
        log.latencies_s.append(elapsed_s)
    else:
        log.errors[f"{result.error.code}: {result.error.message}"] += 1

"""What this machine can do at best: the bare script, and the bare COPY."""

import hashlib
import itertools
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import hiredis
import redis.asyncio as redis

from persistence.calls import Call, Source, Step
from persistence.transactions import (
    CurrencyCode,
    Operation,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    partition_of,
)
from persistence.valkey.keys import epoch_key, player_keys
from persistence.valkey.requests import TRANSACT, transact_arguments
from tests.bench.workload import CURRENCY, SOURCE, player_name

WINDOW = 512
"""Commands that are sent at once, two windows being on their way: as many as the service sends at most."""

COPY_BATCH = 5_000
_TIMEOUT_S = 60.0
_CREATE_COPY_TABLE = """
CREATE TABLE IF NOT EXISTS bench_entries (
    partition integer, position bigint, entry_type text, operation text, player_id text, source_id text,
    transaction_id text, kind text, fingerprint text, currency text, amount numeric(38, 0), version bigint,
    cash_change numeric(38, 0), cash_after numeric(38, 0), game_id text, round_id text,
    booked_time timestamptz, previous_hash bytea, hash bytea,
    PRIMARY KEY (player_id, source_id, transaction_id)
)
"""


async def scripts_per_s(
    valkey: "redis.Redis", port: int, *, partition_count: int, players: int, calls: int, run: str = "script"
) -> float:
    """The debit's own script without a service: packed before the clock, replies hardly looked at."""
    witnesses = {}
    for partition in range(partition_count):
        witness = await valkey.get(epoch_key(partition))
        assert isinstance(witness, bytes), "the service has not opened this partition"
        witnesses[partition] = witness.decode()
    commands = list(_bet_commands(witnesses, players, calls, run))
    windows = [b"".join(commands[start : start + WINDOW]) for start in range(0, calls, WINDOW)]
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        _pipeline(connection, windows, calls)
        return calls / (time.perf_counter() - started)


def _pipeline(connection: socket.socket, windows: list[bytes], calls: int) -> None:
    reader, answered, sent = hiredis.Reader(), 0, 0
    while answered < calls:
        while sent < len(windows) and sent * WINDOW - answered <= WINDOW:
            connection.sendall(windows[sent])
            sent += 1
        reader.feed(connection.recv(1 << 16))
        while (reply := reader.gets()) is not False:
            if not isinstance(reply, list) or reply[0] != b"OK":
                raise RuntimeError(f"the script answered {reply!r}")
            answered += 1


def _bet_commands(witnesses: dict[int, str], players: int, calls: int, run: str) -> Iterator[bytes]:
    source = Source(SourceId(SOURCE))
    for number in range(calls):
        player = PlayerId(player_name(number % players))
        partition = partition_of(player, len(witnesses))
        step = Step(
            operation=Operation.DEBIT,
            kind=TransactionKind.BET,
            transaction_id=TransactionId(f"{run}-{number:07}"),
            currency=CurrencyCode(CURRENCY),
            amount=1,
            game="bench-slots",
            round=f"round-{run}-{number:07}",
        )
        key_names = tuple(player_keys(partition, player))
        arguments = (witnesses[partition], *transact_arguments(Call(player, source, (step,))))
        words = ("EVALSHA", TRANSACT.sha1, str(len(key_names)), *key_names, *arguments)
        yield hiredis.pack_command(words)  # type: ignore[arg-type]


async def copied_rows_per_s(connection: "asyncpg.Connection[Any]", *, rows: int) -> float:
    """Rows like entries into a table with one unique key, and nothing else that a ledger needs."""
    await connection.execute(_CREATE_COPY_TABLE)
    batches = list(_batched(_entry_like_rows(rows), COPY_BATCH))
    started = time.perf_counter()
    for batch in batches:
        await connection.copy_records_to_table("bench_entries", records=batch)
    return rows / (time.perf_counter() - started)


def _batched(rows: Iterator[tuple[Any, ...]], size: int) -> Iterator[tuple[tuple[Any, ...], ...]]:
    while batch := tuple(itertools.islice(rows, size)):
        yield batch


def _entry_like_rows(rows: int) -> Iterator[tuple[Any, ...]]:
    booked, previous = datetime.now(UTC), bytes(32)
    for number in range(rows):
        digest = hashlib.sha256(previous).digest()
        player, name = player_name(number % 10_000), f"copy-{number:07}"
        words = ("applied", "debit", player, SOURCE, name, "bet", "f" * 20, CURRENCY)
        amounts = (Decimal(1), number, Decimal(-1), Decimal(10_000_000))
        yield (
            number % 16,
            number,
            *words,
            *amounts,
            "bench-slots",
            f"round-{name}",
            booked,
            previous,
            digest,
        )
        previous = digest

"""What a run was measured on."""

import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import psutil

from tests.bench.bench_stack import BenchStack
from tests.bench.drains import Ledger
from tests.bench.plan import Plan

FSYNCS = 50


async def environment(stack: BenchStack, ledger: Ledger, plan: Plan) -> dict[str, Any]:
    """Versions, durability as the servers themselves report it, and the machine."""
    valkey = await ledger.valkey.info("server")
    persistence = await ledger.valkey.config_get("append*")
    fsync = await ledger.connection.fetchval("SHOW fsync")
    commit = await ledger.connection.fetchval("SHOW synchronous_commit")
    if persistence["appendfsync"] != "always" or fsync != "on" or commit != "on":
        raise RuntimeError("a benchmark without fsync measures nothing that an operator may have")
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "durability": "fsync",
        "fsync_ms": round(_fsync_ms(stack.folder), 3),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "valkey": valkey.get("valkey_version", valkey["redis_version"]),
        "postgres": await ledger.connection.fetchval("SHOW server_version"),
        "players": plan.players,
        "rounds": plan.rounds,
        "round_s": plan.round_s,
    }


def _fsync_ms(folder: Path) -> float:
    """What writing and syncing a few bytes costs where the stores' data are."""
    durations = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            started = time.perf_counter()
            file.write(b"x" * 512)
            file.flush()
            os.fdatasync(file.fileno())
            durations.append(time.perf_counter() - started)
    return 1000 * statistics.median(durations)

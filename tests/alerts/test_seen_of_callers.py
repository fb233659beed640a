"""Alerts about what callers are told, and what they do, seen firing while it happened."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.embedded import EmbeddedValkey, embedded_replica, embedded_valkey
from tests.acceptance.seat import Seat, seated
from tests.alerts.watching import watched
from tests.answers import Refused
from tests.serving import Grounds
from tests.steps import bet, rollback

AT_ONCE = ("--repl-diskless-sync-delay", "0")


async def ask(seat: Seat, name: str, *, amount: str = "0.01") -> None:
    """A bet, however it ends."""
    with suppress(Refused):
        await seat.api.transact(seat.source_id, seat.player_id, [bet(name, amount)], timeout_s=2.0)


async def test_a_source_that_retries_everything(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path) as server:
        seat = await seated(server.api)
        await ask(seat, "b0")
        await server.is_well()

        for number in range(10):
            await asyncio.gather(*(ask(seat, f"b{number}") for _ in range(15)))

        await server.require_fires("StakeholdRetrySpike")


async def test_ids_that_are_used_for_something_else(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path) as server:
        seat = await seated(server.api)
        for number in range(8):
            await ask(seat, f"b{number}")
        await server.is_well()

        for number in range(8):
            await ask(seat, f"b{number}", amount="0.02")

        await server.require_fires("StakeholdConflicts")


async def test_rollbacks_of_what_never_came(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path) as server:
        seat = await seated(server.api)
        await seat.one(rollback("r", "never"))
        await server.is_well()

        for number in range(25):
            await seat.one(rollback(f"r{number}", f"never{number}"))

        await server.require_fires("StakeholdTombstones")


async def test_a_store_that_is_gone(ground: Grounds, private_valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with watched(ground, tmp_path) as server:
        seat = await seated(server.api)
        for number in range(5):
            await ask(seat, f"b{number}")
        await server.is_well()

        private_valkey.process.kill()
        await private_valkey.child.exited()
        for number in range(20):
            await ask(seat, f"c{number}")

        await server.require_fires("StakeholdErrorBudgetBurnsFast", "StakeholdErrorBudgetBurnsSlowly")


async def test_a_store_that_hangs_while_calls_are_under_way(
    ground: Grounds, private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with watched(ground, tmp_path, store_timeout_s=0.5) as server:
        seat = await seated(server.api)
        await ask(seat, "b")
        await server.is_well()

        private_valkey.process.send_signal(signal.SIGSTOP)
        try:
            with suppress(Refused):
                await seat.play(*(bet(f"c{number}", "0.01") for number in range(12)))
        finally:
            private_valkey.process.send_signal(signal.SIGCONT)

        await server.require_fires("StakeholdOutcomesUnknown")


async def test_a_store_that_is_slow(ground: Grounds, private_valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with watched(ground, tmp_path) as server:
        seat = await seated(server.api)
        await ask(seat, "b")
        await server.is_well()

        for number in range(5):
            private_valkey.process.send_signal(signal.SIGSTOP)
            calls = [asyncio.create_task(ask(seat, f"c{number}-{each}")) for each in range(20)]
            await asyncio.sleep(0.2)
            private_valkey.process.send_signal(signal.SIGCONT)
            await asyncio.gather(*calls)

        await server.require_fires("StakeholdLatencyBudgetBurnsFast", "StakeholdLatencyBudgetBurnsSlowly")


async def test_replicas_that_hang(ledger_dsn: str, tmp_path: Path) -> None:
    async with (
        embedded_valkey(tmp_path / "primary", extra=AT_ONCE) as primary,
        embedded_replica(tmp_path / "replica", primary) as replica,
        watched(
            Grounds(primary.url, ledger_dsn),
            tmp_path,
            durability="replicated",
            replicas=1,
            store_timeout_s=1.0,
        ) as server,
    ):
        seat = await seated(server.api)
        await server.is_well()

        replica.process.send_signal(signal.SIGSTOP)
        try:
            await ask(seat, "b")
        finally:
            replica.process.send_signal(signal.SIGCONT)

        await server.require_fires("StakeholdReplicasDoNotConfirm")


async def sometimes_broken(request: bytes, context: Any) -> bytes:
    if request:
        raise ValueError("a bug")
    return b""


@pytest.fixture
def buggy() -> grpc.GenericRpcHandler:
    """A service with a bug, which it has for requests that are not empty."""
    return grpc.method_handlers_generic_handler(
        "stakehold.test.Buggy",
        {"Call": grpc.unary_unary_rpc_method_handler(sometimes_broken, bytes, bytes)},
    )


async def test_a_bug(ground: Grounds, tmp_path: Path, buggy: grpc.GenericRpcHandler) -> None:
    async with (
        watched(ground, tmp_path, extra_handlers=[buggy]) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        call: Any = channel.unary_unary("/stakehold.test.Buggy/Call")
        await call(b"", timeout=5.0)
        await server.is_well()

        with pytest.raises(grpc.aio.AioRpcError, match="INTERNAL"):
            await call(b"!", timeout=5.0)

        await server.require_fires("StakeholdInternalErrors")

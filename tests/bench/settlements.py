"""A burst of settlements, submitted while players play on: how fast it goes, and what it costs them."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from statistics import median
from typing import Any

import grpc

from stakehold.v1 import command_pb2, money_pb2, transaction_pb2, wallet_service_pb2
from stakehold.v1 import submission_service_pb2 as pb
from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceStub
from tests.bench.bench_stack import BenchStack
from tests.bench.drains import POLL_S, Ledger
from tests.bench.figures import Figures, medians
from tests.bench.load import Job
from tests.bench.loader import Loader
from tests.bench.plan import Plan
from tests.bench.workload import CURRENCY, SOURCE, player_name

SUBMISSION = "settlements"
LIVE_SHARE = 0.25
"""Of the debits that are possible at most."""
_CHUNK = 1000
_TIMEOUT_S = 300.0
_DECIDED = "SELECT count(*) FROM inbox.commands WHERE state = 'applied'"
_LEFT = "SELECT count(*) FROM inbox.commands WHERE state <> 'applied'"


async def settlements(
    plan: Plan, stack: BenchStack, loader: Loader, ledger: Ledger, *, debits_per_s: float
) -> tuple[dict[str, Any], dict[str, float]]:
    """The figures of the product, and the ratios."""
    run = loader.new_run()
    async with stack.draining():
        await loader.run(Job("debit", run, plan.players, count=plan.settlements))
        await ledger.until_drained()
        live_per_s = LIVE_SHARE * debits_per_s
        async with stack.working():
            idle = await _live(plan, loader, live_per_s)
            accepted = asyncio.create_task(_submit(stack.address, run, plan))
            accepting = [await _round(plan, loader, live_per_s)]
            while not accepted.done():
                accepting.append(await _round(plan, loader, live_per_s))
            accept_s = await accepted
            applying = await _live(plan, loader, live_per_s)
        apply_per_s = await _apply_rest(stack, ledger)
        await ledger.until_drained()
    product = {
        "settlements": {
            "count": plan.settlements,
            "accepted_per_s": plan.settlements / accept_s,
            "applied_per_s": apply_per_s,
        },
        "live_debit_idle": asdict(medians(idle)),
        "live_debit_while_accepting": asdict(medians(accepting)),
        "live_debit_while_applying": asdict(medians(applying)),
    }
    return product, {
        "live_p99_while_accepting": _p99(accepting) / _p99(idle),
        "live_p99_while_applying": _p99(applying) / _p99(idle),
    }


def _p99(rounds: list[Figures]) -> float:
    return median(figures.p99_ms for figures in rounds)


async def _live(plan: Plan, loader: Loader, per_s: float) -> list[Figures]:
    return [await _round(plan, loader, per_s) for _ in range(plan.rounds)]


async def _round(plan: Plan, loader: Loader, per_s: float) -> Figures:
    job = Job("debit", loader.new_run(), plan.players, seconds=2 * plan.round_s, per_s=per_s)
    figures, _ = await loader.run_counting(job)
    return figures


async def _submit(address: str, run: str, plan: Plan) -> float:
    """Seconds until the receipt."""
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        messages = list(_messages(run, plan))

        async def sent() -> AsyncIterator[pb.SubmitRequest]:
            for message in messages:
                yield message

        started = time.perf_counter()
        await SubmissionServiceStub(channel).Submit(sent(), timeout=_TIMEOUT_S)
        return time.perf_counter() - started


def _messages(run: str, plan: Plan) -> list[pb.SubmitRequest]:
    messages = []
    for start in range(0, plan.settlements, _CHUNK):
        numbers = range(start, min(start + _CHUNK, plan.settlements))
        commands = [_settlement(f"{run}-{number:07}", number % plan.players) for number in numbers]
        messages.append(pb.SubmitRequest(source_id=SOURCE, submission_id=SUBMISSION, commands=commands))
    return messages


def _settlement(bet: str, player: int) -> command_pb2.Command:
    """A win of the bet that the load placed under this name."""
    return command_pb2.Command(
        credit=wallet_service_pb2.CreditRequest(
            source_id=SOURCE,
            player_id=player_name(player),
            transaction_id=f"settle-{bet}",
            kind=transaction_pb2.TRANSACTION_KIND_WIN,
            amount=money_pb2.Money(currency_code=CURRENCY, amount="0.01"),
            round_id=f"round-{bet}",
            game_id="bench-slots",
            reference_transaction_id=bet,
        )
    )


async def _apply_rest(stack: BenchStack, ledger: Ledger) -> float:
    """Commands a second that one worker applies when nothing slows it."""
    before = await _count(ledger, _DECIDED)
    async with stack.working("--rate", "100000"):
        async with asyncio.timeout(_TIMEOUT_S):
            while (first := await _count(ledger, _DECIDED)) == before:
                await asyncio.sleep(POLL_S)
            started = time.perf_counter()
            while await _count(ledger, _LEFT):
                await asyncio.sleep(POLL_S)
        elapsed_s = time.perf_counter() - started
        return (await _count(ledger, _DECIDED) - first) / elapsed_s


async def _count(ledger: Ledger, statement: str) -> int:
    return int(await ledger.connection.fetchval(statement))

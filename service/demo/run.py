"""Plays from the first call to the verdict."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import grpc

from service.demo.books import Books
from service.demo.caller import Caller, ServiceGone
from service.demo.player import play
from service.demo.plays import Line
from service.demo.promises import Evidence, promises
from service.demo.report import Size, report
from service.demo.slips import slips_played
from service.demo.tally import Tally

DRAIN_PATIENCE_S = 60.0
REACHED_WITHIN_S = 5.0


class Bar(Protocol):
    """Shows how far something has come."""

    def update(self, n_steps: int) -> None: ...


class Screen(Protocol):
    """Where the demo speaks."""

    def bar(self, label: str, length: int) -> AbstractContextManager[Bar]: ...

    def say(self, line: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Program:
    """A play that was read."""

    title: str
    lines: Sequence[Line]


async def run_programs(
    programs: Sequence[Program], address: str, *, concurrency: int, screen: Screen
) -> bool:
    """Plays one after the other, and reports on each; whether all promises were kept. Raises ServiceGone."""
    kept = True
    async with grpc.aio.insecure_channel(address) as channel:
        await _require_answer(channel, address)
        for program in programs:
            screen.say(f"\n{program.title}")
            kept = await _run_play(program.lines, channel, concurrency=concurrency, screen=screen) and kept
    return kept


async def _run_play(
    lines: Sequence[Line], channel: grpc.aio.Channel, *, concurrency: int, screen: Screen
) -> bool:
    tally = Tally()
    caller = Caller(channel, concurrency=concurrency)
    started = time.monotonic()
    with screen.bar("Playing", len(lines) + _commands(lines)) as bar:
        try:
            await play(lines, caller, tally, concurrency=concurrency, progress=bar.update)
        except BaseExceptionGroup as group:
            raise _first(group) from None
    elapsed_s = time.monotonic() - started
    try:
        evidence = await _read_books(lines, Books(channel), tally, screen)
    except grpc.aio.AioRpcError as error:
        raise ServiceGone(f"the ledger cannot be read: {error.code().name}, {error.details()}") from error
    players = len({line.player for line in lines if line.player})
    verdict = promises(evidence)
    screen.say("")
    for text in report(Size(players, concurrency, elapsed_s), evidence, verdict):
        screen.say(text)
    return all(promise.kept for promise in verdict)


def _commands(lines: Sequence[Line]) -> int:
    """How many commands of submissions the play waits for."""
    counts = (line.expect[0]["submission"] for line in lines if line.rpc == "GetSubmission")
    return sum(sum(count.values()) for count in counts)


def _first(error: BaseException) -> BaseException:
    """What many callers met with at once, said once."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _require_answer(channel: grpc.aio.Channel, address: str) -> None:
    try:
        async with asyncio.timeout(REACHED_WITHIN_S):
            await channel.channel_ready()
    except TimeoutError:
        raise ServiceGone(f"nothing answers at {address}; start a service with `stakehold up`") from None


async def _read_books(lines: Sequence[Line], books: Books, tally: Tally, screen: Screen) -> Evidence:
    expected = sum(len(line.expect[0]["balances"]) for line in lines if line.rpc == "GetWallet")
    answered = sum(map(len, tally.entry_ids.values()))
    with screen.bar("Waiting for the ledger", answered) as bar:
        drain = await books.follow(
            tally.entry_ids, patience_s=DRAIN_PATIENCE_S, progress=_falling(bar, answered)
        )
    screen.say("Comparing wallets with their statements, and auditing the ledger …")
    disagreements = await books.disagreements(tally.wallets)
    slips = slips_played(lines)
    await books.book_slips(slips)
    trial_balance = await books.trial_balance()
    findings, summary = await books.audit()
    return Evidence(
        tally=tally,
        expected_wallets=expected,
        drain=drain,
        disagreements=disagreements,
        trial_balance=trial_balance,
        findings=findings,
        summary=summary,
        slips=slips,
    )


def _falling(bar: Bar, remaining: int) -> Callable[[int], None]:
    """Progress for a bar out of counts of what remains."""
    before = remaining

    def show(now: int) -> None:
        nonlocal before
        bar.update(before - now)
        before = now

    return show

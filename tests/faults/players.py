"""Clients that ask until they are certain, and write down every attempt."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random

import grpc

from tests import requests
from tests.answers import Done, Refused
from tests.bulk_api import BulkApi
from tests.faults.history import Answered, Attempt, Call, History, NotAnswered
from tests.faults.moves import CURRENCIES, SOURCES, Dealer, Move, Table
from tests.wallet_api import WalletApi, awaited_api

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_TIMEOUTS_S = (0.3, 1.0, 1.0, 3.0)
_CANCELLED_SHARE = 0.01
_BATCHED_SHARE = 0.1
_CANCELLED_AFTER_S = 0.01
_CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
)
"""Each client has connections of its own, and tries again soon when one is lost."""


@dataclass(slots=True)
class Client:
    """One caller with a connection to each server. ``stopped`` ends new moves, ``given_up`` also retries."""

    apis: Sequence[WalletApi]
    bulks: Sequence[BulkApi]
    dealer: Dealer
    history: History
    stopped: asyncio.Event
    given_up: asyncio.Event
    pause_s: float = 0.0
    server: int = 0

    async def play(self) -> None:
        """Makes moves until told to stop, then sees the last one through."""
        while not self.stopped.is_set():
            await self._make(self.dealer.move())
            await asyncio.sleep(self.pause_s * self.dealer.random.random())

    async def _make(self, move: Move) -> None:
        if move.together:
            servers = range(self.server, self.server + len(move.calls))
            await asyncio.gather(
                *(self.ask(call, server=server) for call, server in zip(move.calls, servers, strict=True))
            )
        else:
            for call in move.calls:
                await self.ask(call, server=self.server)
        if self.dealer.random.random() < 0.05:
            self.server += 1

    async def ask(self, call: Call, *, server: int) -> Attempt | None:
        """Sends a call again and again, each time elsewhere, until its outcome is certain."""
        pause_s = _FIRST_PAUSE_S
        while not self.given_up.is_set():
            attempt = await self._send(call, server % len(self.apis))
            self.history.add(attempt)
            if attempt.certain:
                return attempt
            await asyncio.sleep(pause_s * (0.5 + self.dealer.random.random()))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            server += 1
            self.server = server
        return None

    async def _send(self, call: Call, server: int) -> Attempt:
        request = requests.call(call.source, call.player, call.steps)
        timeout_s = self.dealer.random.choice(_TIMEOUTS_S)
        patience_s = _CANCELLED_AFTER_S if self.dealer.random.random() < _CANCELLED_SHARE else None
        called_s = time.monotonic()
        answer: Answered | NotAnswered
        try:
            async with asyncio.timeout(patience_s):
                done = await self._ask_once(request, server, timeout_s)
            answer = Answered(tuple(done))
        except TimeoutError:
            answer = NotAnswered("CANCELLED")
        except Refused as refused:
            answer = NotAnswered(refused.code, refused.reason, refused.details.refusal)
        return Attempt(call, server, called_s, time.monotonic(), answer)

    async def _ask_once(self, request: requests.Request, server: int, timeout_s: float) -> list[Done]:
        """By the RPC of its own, or as the one command of a batch. Raises Refused."""
        if self.dealer.random.random() >= _BATCHED_SHARE:
            return await self.apis[server].send(request, timeout_s=timeout_s)
        [answer] = await self.bulks[server].batch([requests.command(request)], timeout_s=timeout_s)
        if isinstance(answer, Refused):
            raise answer
        return answer


@dataclass(slots=True)
class Crowd:
    """All clients of a run, at work from ``start`` to ``finish``."""

    clients: Sequence[Client]
    tables: Sequence[Table]
    history: History
    stopped: asyncio.Event
    given_up: asyncio.Event
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def start(self) -> None:
        """Opens wallets and fills them, before anything is broken, and lets the clients go."""
        api = self.clients[0].apis[0]
        for source in SOURCES:
            await api.put_source(source)
        for table in self.tables:
            for currency in CURRENCIES:
                await api.open_wallet(table.player, currency)
        for call in self.clients[0].dealer.first_calls():
            await self.clients[0].ask(call, server=0)
        self.tasks = [asyncio.create_task(client.play()) for client in self.clients]

    async def finish(self, *, patience_s: float) -> None:
        """No new moves; waits until every outcome is certain, or for so long."""
        self.stopped.set()
        await asyncio.wait(self.tasks, timeout=patience_s)
        self.given_up.set()
        await asyncio.gather(*self.tasks)


@asynccontextmanager
async def crowd(
    addresses: Sequence[str],
    history: History,
    *,
    seed: str,
    client_count: int = 8,
    player_count: int = 4,
    pause_s: float = 0.02,
) -> AsyncIterator[Crowd]:
    """Clients who wait to be started."""
    tables = [Table(f"player-{number}") for number in range(player_count)]
    numbers = count(1)
    stopped, given_up = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(client_count):
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(address, options=_CHANNEL))
                for address in addresses
            ]
            apis = [awaited_api(channel) for channel in channels]
            dealer = Dealer(Random(f"{seed}/{number}"), tables, numbers)
            bulks = [BulkApi(channel) for channel in channels]
            clients.append(
                Client(apis, bulks, dealer, history, stopped, given_up, pause_s=pause_s, server=number)
            )
        made = Crowd(clients, tables, history, stopped, given_up)
        try:
            yield made
        finally:
            for task in made.tasks:
                task.cancel()
            await asyncio.gather(*made.tasks, return_exceptions=True)

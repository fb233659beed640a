"""Players who play all the time, and remember what they were told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc

from stakehold.v1 import admin_service_pb2 as admin_pb
from stakehold.v1 import money_pb2, transaction_pb2
from stakehold.v1 import submission_service_pb2 as submission_pb
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from stakehold.v1.admin_service_pb2_grpc import AdminServiceStub
from stakehold.v1.command_pb2 import Command
from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceStub
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub

SOURCE = "games"
TIMEOUT_S = 20.0
START_CENTS = 1_000_000
BET_CENTS, WIN_CENTS, BONUS_CENTS = 100, 30, 7
PAUSE_S = 0.02
"""Of a player, between two rounds: the machine is to be under load, not out of breath."""

SAY_AGAIN = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
"""Nothing was done, or it is not known: the same id may ask again, as every caller does."""
SHED_PAUSE_S = 0.2
"""Before that."""

_Kind = transaction_pb2.TransactionKind


@dataclass(slots=True)
class Play:
    """``refused`` says what ended otherwise than it should have, after the channel's own retries."""

    channel: grpc.aio.Channel
    player_ids: list[str]
    answered: Counter[str] = field(default_factory=Counter)
    expected_cents: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self) -> None:
        admin = AdminServiceStub(self.channel)
        await admin.PutSource(
            admin_pb.PutSourceRequest(source=admin_pb.Source(source_id=SOURCE)), timeout=TIMEOUT_S
        )
        for player_id in self.player_ids:
            wallet = admin_pb.OpenWalletRequest(player_id=player_id, currency_code="EUR")
            await admin.OpenWallet(wallet, timeout=TIMEOUT_S)
            await self._credit(player_id, "start", START_CENTS, _Kind.TRANSACTION_KIND_DEPOSIT)

    async def rounds(self, player_id: str) -> None:
        """A bet, then by turns a win, a rollback, or a bonus that is submitted for later."""
        for number in count():
            if self.stopped.is_set():
                return
            bet = f"bet-{number}"
            await self._debit(player_id, bet)
            if number % 3 == 0:
                won = f"win-{number}"
                await self._credit(player_id, won, WIN_CENTS, _Kind.TRANSACTION_KIND_WIN, reference=bet)
            elif number % 3 == 1:
                await self._roll_back(player_id, f"back-{number}", bet)
            else:
                await self._submit(player_id, f"bonus-{number}")
            await asyncio.sleep(PAUSE_S)

    async def more(self, calls: int) -> bool:
        """Whether so many were answered in all. Fails as soon as one was refused."""
        assert self.refused == [], self.refused
        return self.answered.total() >= calls

    async def agrees(self) -> bool:
        """Whether each wallet has what its player was told, and what was submitted."""
        wallets = WalletServiceStub(self.channel)
        for player_id in self.player_ids:
            asked = wallet_pb.GetWalletRequest(player_id=player_id)
            [balance] = (await wallets.GetWallet(asked, timeout=TIMEOUT_S)).balances
            if _cents(balance.cash) + _cents(balance.bonus) != self.expected_cents[player_id]:
                return False
        return True

    async def _debit(self, player_id: str, transaction_id: str) -> None:
        request = wallet_pb.DebitRequest(
            source_id=SOURCE,
            player_id=player_id,
            transaction_id=transaction_id,
            kind=_Kind.TRANSACTION_KIND_BET,
            amount=_euros(BET_CENTS),
        )
        await self._call(player_id, -BET_CENTS, WalletServiceStub(self.channel).Debit, request)

    async def _credit(
        self, player_id: str, transaction_id: str, cents: int, kind: "_Kind.ValueType", reference: str = ""
    ) -> None:
        request = wallet_pb.CreditRequest(
            source_id=SOURCE,
            player_id=player_id,
            transaction_id=transaction_id,
            kind=kind,
            amount=_euros(cents),
            reference_transaction_id=reference,
        )
        await self._call(player_id, cents, WalletServiceStub(self.channel).Credit, request)

    async def _roll_back(self, player_id: str, transaction_id: str, original: str) -> None:
        request = wallet_pb.RollbackRequest(
            source_id=SOURCE,
            player_id=player_id,
            transaction_id=transaction_id,
            original_transaction_id=original,
        )
        await self._call(player_id, BET_CENTS, WalletServiceStub(self.channel).Rollback, request)

    async def _submit(self, player_id: str, transaction_id: str) -> None:
        credit = wallet_pb.CreditRequest(
            source_id=SOURCE,
            player_id=player_id,
            transaction_id=transaction_id,
            kind=_Kind.TRANSACTION_KIND_BONUS,
            amount=_euros(BONUS_CENTS),
        )
        request = submission_pb.SubmitRequest(
            source_id=SOURCE, submission_id=f"{player_id}-{transaction_id}", commands=[Command(credit=credit)]
        )
        await self._call(player_id, BONUS_CENTS, SubmissionServiceStub(self.channel).Submit, [request])

    async def _call(self, player_id: str, cents: int, method: Any, request: Any) -> None:
        name = type(request[0] if isinstance(request, list) else request).__name__
        try:
            await self._until_answered(method, request)
        except grpc.aio.AioRpcError as error:
            self.refused.append(f"{name} of {player_id}: {error.code().name} {error.details()}")
            return
        self.answered[name] += 1
        self.expected_cents[player_id] += cents

    async def _until_answered(self, method: Any, request: Any) -> None:
        """Says it again, under the same id, where the answer says so, for as long as a call may take."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + TIMEOUT_S
        while True:
            try:
                await method(request, timeout=TIMEOUT_S)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() not in SAY_AGAIN or loop.time() > latest:
                    raise
            await asyncio.sleep(SHED_PAUSE_S)


@asynccontextmanager
async def playing(channel: grpc.aio.Channel, *, players: int) -> AsyncIterator[Play]:
    """Everybody plays until the context is left."""
    play = Play(channel, [f"player-{number}" for number in range(players)])
    await play.begin()
    async with asyncio.TaskGroup() as group:
        for player_id in play.player_ids:
            group.create_task(play.rounds(player_id))
        try:
            yield play
        finally:
            play.stopped.set()


def _euros(cents: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code="EUR", amount=f"{cents // 100}.{cents % 100:02}")


def _cents(amount: str) -> int:
    whole, _, fraction = amount.partition(".")
    return int(whole) * 100 + int(fraction.ljust(2, "0"))

"""Calls of the engine, its store, and everything that a call changes there."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from redis.asyncio import Redis

from persistence.calls import Call, Source, Step, StepResult
from persistence.drainer import wall_clock_ms
from persistence.errors import PartitionFenced, RefusalDetails, Refused
from persistence.outbox import OutboxRecord, decode_record
from persistence.player_memory import PlayerMemory, Question, Recollection
from persistence.transactions import (
    CurrencyCode,
    Operation,
    OutboxPosition,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
)
from persistence.valkey.batcher import ScriptBatcher
from persistence.valkey.engine import SCRIPTS, Engine
from persistence.valkey.hydration import Hydration
from persistence.valkey.keys import epoch_key, outbox_key
from persistence.valkey.node import node_connections
from persistence.witness import Witness
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.hot_path import PATIENCE_S, moment

DATABASE = 7
"""Of the shared server; the service's own data are in database 0."""
EPOCH = 3
LEDGER_ID = UUID("5ca1ab1e-0000-4000-8000-00000000c0de")
EUR, USD = CurrencyCode("EUR"), CurrencyCode("USD")
PLAYER = PlayerId("p1")
GAMES = Source(SourceId("games"))


def bet(name: str, amount: int, currency: CurrencyCode = EUR, *, round_: str = "") -> Step:
    return Step(
        Operation.DEBIT, TransactionKind.BET, TransactionId(name), currency, amount, game="g", round=round_
    )


def win(
    name: str, amount: int, currency: CurrencyCode = EUR, *, of: str = "", closes_round: bool = False
) -> Step:
    return Step(
        Operation.CREDIT,
        TransactionKind.WIN,
        TransactionId(name),
        currency,
        amount,
        reference=of,
        closes_round=closes_round,
    )


def deposit(name: str, amount: int, currency: CurrencyCode = EUR) -> Step:
    return Step(Operation.CREDIT, TransactionKind.DEPOSIT, TransactionId(name), currency, amount)


def rollback(name: str, original: str) -> Step:
    return Step(
        Operation.ROLLBACK, TransactionKind.ROLLBACK, TransactionId(name), None, None, reference=original
    )


def close_round(name: str, round_: str, *, game: str = "g") -> Step:
    return Step(
        Operation.CLOSE_ROUND,
        TransactionKind.ROUND_CLOSING,
        TransactionId(name),
        None,
        None,
        game=game,
        round=round_,
        closes_round=True,
    )


class NewLedger:
    """The ledger of a partition where nobody has ever played: nothing is older than the store's memory."""

    cursor = OutboxPosition(EPOCH, -1)

    async def players(self, players: Sequence[PlayerId], **_: int) -> list[PlayerMemory]:
        return [PlayerMemory(player, self.cursor, {}, {}, {}, ()) for player in players]

    async def recall(self, questions: Sequence[Question]) -> list[Recollection]:
        raise AssertionError(f"nothing was ever forgotten: {questions}")


@dataclass(frozen=True, slots=True)
class OneStore:
    """Its partition was taken over, and never is again; none, where it has no witness."""

    only: Witness | None

    def witness(self, partition: int) -> Witness | None:
        return self.only

    async def renew(self, partition: int, refused: Witness | None, *, deadline: float) -> Witness:
        raise PartitionFenced(partition)


@dataclass(frozen=True, slots=True)
class House:
    """An engine on one partition, and a client that sees and changes what is behind it."""

    engine: Engine
    store: Redis
    witness: Witness

    async def play(
        self, *steps: Step, player: PlayerId = PLAYER, source: Source = GAMES
    ) -> tuple[StepResult, ...]:
        return await self.engine.transact(Call(player, source, steps), deadline=moment(PATIENCE_S))

    async def refused(
        self, *steps: Step, player: PlayerId = PLAYER, source: Source = GAMES
    ) -> RefusalDetails:
        try:
            results = await self.play(*steps, player=player, source=source)
        except Refused as refusal:
            return refusal.details
        raise AssertionError(f"not refused: {results}")

    async def open(self, player: PlayerId = PLAYER, currency: CurrencyCode = EUR) -> None:
        await self.engine.open_wallet(player, currency, credit_line=0, deadline=moment(PATIENCE_S))

    async def records(self) -> list[OutboxRecord]:
        """The partition's outbox."""
        connection = self.store.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
            await connection.send_command("XRANGE", outbox_key(0), "-", "+")
            reply = await connection.read_response(disable_decoding=True)
        finally:
            await connection.disconnect()
        entries = cast("list[tuple[bytes, list[bytes]]]", reply)
        return [decode_record(stream_id.decode(), fields) for stream_id, fields in entries]

    async def contents(self) -> dict[bytes, bytes]:
        """Everything that the store holds, key by key."""
        keys = cast("list[bytes]", await self.store.keys())
        return {key: cast("bytes", await self.store.dump(key)) for key in sorted(keys)}


@asynccontextmanager
async def house(valkey: EmbeddedValkey) -> AsyncIterator[House]:
    """An empty partition in an epoch of its own."""
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    batcher = ScriptBatcher(
        node_connections(url, PATIENCE_S), scripts=SCRIPTS, timeout_s=PATIENCE_S, max_waiting=10_000
    )
    hydration = Hydration(batcher, NewLedger(), window_s=60.0, now_ms=wall_clock_ms)
    async with Redis.from_url(url) as store, batcher, hydration:
        await store.flushdb()
        witness = Witness(EPOCH, LEDGER_ID, EPOCH, await batcher.incarnation())
        await store.set(epoch_key(0), str(witness))
        engine = Engine(batcher, partition_count=1, adoptions=OneStore(witness), hydration=hydration)
        yield House(engine, store, witness)

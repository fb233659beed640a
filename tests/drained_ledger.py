"""A ledger filled the way it is in earnest: by the engine and the drainer, without the gRPC front."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from persistence.acknowledged import AcknowledgedTail
from persistence.adoption import adopt_partitions
from persistence.calls import Call, Source, Step, StepResult
from persistence.drain_metrics import DrainMetrics
from persistence.drain_settings import DrainSettings
from persistence.drainer import Drainer, wall_clock_ms
from persistence.errors import Refused
from persistence.partition_guard import GuardSettings, PartitionGuard
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.reading.memory import LedgerMemory
from persistence.transactions import (
    CurrencyCode,
    Operation,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletStatus,
)
from persistence.valkey.batcher import ScriptBatcher
from persistence.valkey.engine import SCRIPTS, Engine, deadline_after
from persistence.valkey.hydration import Hydration
from persistence.valkey.node import node_connections
from persistence.valkey.requests import RateOffers

EUR = CurrencyCode("EUR")
USD = CurrencyCode("USD")
PARTITION_COUNT = 16
TIMEOUT_S = 10.0
WINDOW_S = 86_400.0

_OPERATIONS = {
    TransactionKind.BET: Operation.DEBIT,
    TransactionKind.TIP: Operation.DEBIT,
    TransactionKind.WITHDRAWAL: Operation.DEBIT,
}


def movement(
    kind: TransactionKind,
    transaction_id: str,
    amount: int,
    currency: CurrencyCode = EUR,
    *,
    round_id: str = "",
    game: str = "",
    operation: Operation | None = None,
    occurred_ms: int | None = None,
    metadata: str = "",
) -> Step:
    """A debit or credit, in minor units. What the kind does not say, ``operation`` does."""
    return Step(
        operation or _OPERATIONS.get(kind, Operation.CREDIT),
        kind,
        TransactionId(transaction_id),
        currency,
        amount,
        round=round_id,
        game=game,
        occurred_ms=occurred_ms,
        metadata=metadata,
    )


def rollback(transaction_id: str, original: str) -> Step:
    return Step(
        Operation.ROLLBACK,
        TransactionKind.ROLLBACK,
        TransactionId(transaction_id),
        None,
        None,
        reference=original,
    )


def close_round(transaction_id: str, round_id: str, game: str = "") -> Step:
    return Step(
        Operation.CLOSE_ROUND,
        TransactionKind.ROUND_CLOSING,
        TransactionId(transaction_id),
        None,
        None,
        round=round_id,
        game=game,
        closes_round=True,
    )


@dataclass(slots=True)
class Wallets:
    """A store and a ledger, and whoever moves money in them."""

    engine: Engine
    valkey_url: str
    ledger_dsn: str
    sources: Mapping[str, Source] = field(default_factory=dict)

    async def open(self, player: str, currency: CurrencyCode = EUR, *, credit_line: int = 0) -> None:
        await self.engine.open_wallet(
            PlayerId(player), currency, credit_line=credit_line, deadline=deadline_after(TIMEOUT_S)
        )

    async def set_status(self, player: str, status: WalletStatus, currency: CurrencyCode = EUR) -> None:
        await self.engine.set_wallet_status(
            PlayerId(player),
            currency,
            status,
            reason="by a test",
            expected_version=None,
            deadline=deadline_after(TIMEOUT_S),
        )

    async def move(self, player: str, *steps: Step, source: str = "games") -> tuple[StepResult, ...]:
        """One call of all steps. Raises Refused."""
        caller = self.sources.get(source) or Source(SourceId(source))
        call = Call(PlayerId(player), caller, steps)
        return await self.engine.transact(call, deadline=deadline_after(TIMEOUT_S))

    async def refused(self, player: str, *steps: Step, source: str = "games") -> None:
        """One call that must be refused."""
        try:
            await self.move(player, *steps, source=source)
        except Refused:
            return
        raise AssertionError("was not refused")

    async def drain(self) -> None:
        """Carries everything into the ledger."""
        settings = DrainSettings(
            self.ledger_dsn, self.valkey_url, batch_records=50, worker_count=1, block_ms=1
        )
        drainer = Drainer(settings, metrics=DrainMetrics(CollectorRegistry()))
        await drainer.run(asyncio.Event(), until_empty=True)


@asynccontextmanager
async def wallets(
    valkey_url: str,
    ledger_dsn: str,
    *,
    sources: Mapping[str, Source] | None = None,
    now_ms: Callable[[], int] = wall_clock_ms,
    rates: RateOffers | None = None,
) -> AsyncIterator[Wallets]:
    """Wallets in a store and a migrated ledger of one's own. ``now_ms`` tells whose ids are in the window."""
    adopted = await adopt_partitions(postgres_url=ledger_dsn, valkey_url=valkey_url)
    adopted.require_all()
    ledger_id = adopted.witnesses[0].ledger_id
    guard = PartitionGuard(GuardSettings(ledger_dsn, valkey_url, ledger_id, "tests"), AcknowledgedTail())
    await guard.start()
    connections = node_connections(valkey_url, TIMEOUT_S)
    async with (
        ledger_pool(ledger_dsn, role=LedgerRole.READER, size=2, statement_timeout_s=TIMEOUT_S) as pool,
        ScriptBatcher(connections, scripts=SCRIPTS, timeout_s=TIMEOUT_S, max_waiting=1000) as batcher,
        Hydration(batcher, LedgerMemory(pool), window_s=WINDOW_S, now_ms=now_ms) as hydration,
    ):
        engine = Engine(
            batcher, partition_count=PARTITION_COUNT, adoptions=guard, hydration=hydration, rates=rates
        )
        yield Wallets(engine, valkey_url, ledger_dsn, sources or {})

"""Wallets, and whoever keeps the store's memory of them small."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from lua import Script
from persistence.adoption_plan import LedgerPartition
from persistence.drainer import wall_clock_ms
from persistence.forgetting import FORGETTING_SCRIPTS, Forgetter, Pace
from persistence.player_memory import PlayerMemory
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection, LedgerRole, ledger_connection, ledger_pool
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.reading.memory import LedgerMemory
from persistence.transactions import PlayerId, TransactionKind, partition_of
from persistence.valkey.hot_wallets import HotWallets, hot_wallets
from persistence.valkey.keys import PlayerKeys, player_keys
from persistence.valkey.residence import FORGET, LOAD_PLAYER, RECALL, Residence, load_arguments
from persistence.valkey.store import StoreRunner, open_store
from persistence.witness import Witness
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, Wallets, movement, wallets

WINDOW_S = 3600.0
WINDOW_MS = round(1000 * WINDOW_S)
AT_ONCE = Pace(WINDOW_S, pause_s=0.0)


class CountingLedger(AdoptingLedger):
    """Counts how often all partitions are read."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.reads = 0

    async def partitions(self, partitions: Sequence[int] | None = None) -> list[LedgerPartition]:
        self.reads += 1
        return await super().partitions(partitions)


@dataclass(slots=True)
class Interrupted:
    """A store where something else happens right before the next script that forgets."""

    store: StoreRunner
    meanwhile: Callable[[], Awaitable[None]] | None = None
    forgettings: int = 0

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None,
    ) -> Sequence[bytes]:
        meanwhile = self.meanwhile
        self.forgettings += script == FORGET
        if script == FORGET and meanwhile is not None:
            self.meanwhile = None
            await meanwhile()
        return await self.store.run(script, keys, arguments, deadline=deadline, incarnation=incarnation)


@dataclass(frozen=True, slots=True)
class House:
    """``forgetter`` goes by way of ``interrupted``, ``other_forgetter`` does not."""

    money: Wallets
    forgetter: Forgetter
    interrupted: Interrupted
    other_forgetter: Forgetter
    ledger: CountingLedger
    hot: HotWallets
    memory: LedgerMemory
    store: StoreRunner
    witnesses: dict[int, Witness] = field(default_factory=dict)

    async def residence(self, player: str) -> Residence | None:
        """None where the player is not in the store."""
        text = await self.marker(player)
        return Residence.parse(text) if text else None

    async def marker(self, player: str) -> str:
        return (await self.hot.residences([PlayerId(player)]))[PlayerId(player)]

    async def is_replay(self, player: str, transaction_id: str, amount: int = 1) -> bool:
        [result] = await self.money.move(player, movement(TransactionKind.BET, transaction_id, amount))
        return result.replayed

    async def bet(self, player: str, *transaction_ids: str, amount: int = 1) -> None:
        for transaction_id in transaction_ids:
            await self.money.move(player, movement(TransactionKind.BET, transaction_id, amount))

    async def next_ms(self, player: str) -> int:
        """A moment after all that was done by now, and before all that is done from now on."""
        cut_ms = wall_clock_ms() + 1
        while wall_clock_ms() <= cut_ms:
            await self.money.engine.read_player(PlayerId(player), deadline=float("inf"))
        return cut_ms

    async def known(self, player: str, *, since_ms: int = 0, most_older: int = 0) -> PlayerMemory:
        """What the ledger knows of a player now."""
        [known] = await self.memory.players(
            [PlayerId(player)], since_ms=since_ms, most_ids=1000, most_older=most_older
        )
        return known

    async def load(self, known: PlayerMemory) -> str:
        """The script's word."""
        return await self.run(LOAD_PLAYER, known.player_id, load_arguments(known))

    async def run(self, script: Script, player: str, arguments: Sequence[str | bytes]) -> str:
        """A script for a player; its word."""
        witness = self.witnesses[partition_of(PlayerId(player), PARTITION_COUNT)]
        reply = await self.store.run(
            script, tuple(keys_of(player)), [str(witness), *arguments], deadline=float("inf")
        )
        return reply[0].decode()


@asynccontextmanager
async def sweeping_house(valkey_url: str, ledger_dsn: str) -> AsyncIterator[House]:
    async with (
        wallets(valkey_url, ledger_dsn) as money,
        ledger_connection(ledger_dsn, role=LedgerRole.READER, statement_timeout_s=TIMEOUT_S) as connection,
        ledger_pool(ledger_dsn, role=LedgerRole.READER, size=2, statement_timeout_s=TIMEOUT_S) as pool,
        open_store(
            valkey_url,
            scripts=(*FORGETTING_SCRIPTS, LOAD_PLAYER, RECALL),
            timeout_s=TIMEOUT_S,
            max_waiting=1000,
        ) as store,
        hot_wallets(valkey_url, partition_count=PARTITION_COUNT, timeout_s=TIMEOUT_S) as hot,
    ):
        ledger_id = (await read_settings(connection)).ledger_id
        ledger, memory = CountingLedger(connection), LedgerMemory(pool)
        found = {p.partition: p.witness(ledger_id) for p in await ledger.partitions()}
        witnesses = {number: witness for number, witness in found.items() if witness is not None}
        ledger.reads = 0
        interrupted = Interrupted(store)
        forgetter, other = (
            Forgetter(runner, hot, ledger, memory, ledger_id=ledger_id) for runner in (interrupted, store)
        )
        yield House(money, forgetter, interrupted, other, ledger, hot, memory, store, witnesses)


def keys_of(player: str) -> PlayerKeys:
    return player_keys(partition_of(PlayerId(player), PARTITION_COUNT), PlayerId(player))


def later_ms() -> int:
    """When all that was done by now is older than the window."""
    return wall_clock_ms() + WINDOW_MS + 60_000


def stopped_at(ms: int) -> Callable[[], int]:
    """A clock that stands."""
    return lambda: ms

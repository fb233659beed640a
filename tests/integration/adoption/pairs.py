"""A ledger and a store that are to become one deployment."""

from dataclasses import dataclass, replace
from typing import cast
from uuid import UUID

from redis.asyncio import Redis

from persistence.adoption import Adopted, adopt_partitions
from persistence.postgres.database import Connection
from persistence.postgres.ledger_settings import read_settings
from persistence.transactions import OutboxPosition
from persistence.valkey.keys import epoch_key, outbox_key
from persistence.witness import Witness

PARTITIONS = range(16)
ELSEWHERE = "0" * 40
"""An incarnation that is nobody's."""


class Crash(Exception):
    """The program ends here."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A ledger that nobody has served yet, and an empty store."""

    ledger_url: str
    store_url: str
    other_store_url: str
    ledger: Connection
    store: Redis

    async def adopt(self) -> Adopted:
        return await adopt_partitions(postgres_url=self.ledger_url, valkey_url=self.store_url)

    async def states(self) -> dict[int, tuple[str, int]]:
        rows = await self.ledger.fetch("SELECT partition, state, epoch FROM ledger.partitions")
        return {row["partition"]: (row["state"], row["epoch"]) for row in rows}

    async def ledger_id(self) -> UUID:
        return (await read_settings(self.ledger)).ledger_id

    async def planted(self) -> dict[int, Witness]:
        keys = [epoch_key(partition) for partition in PARTITIONS]
        found = cast("list[bytes]", await self.store.mget(keys))
        return {n: Witness.parse(text.decode()) for n, text in zip(PARTITIONS, found, strict=True)}

    async def planted_text(self, partition: int) -> str:
        found = await self.store.get(epoch_key(partition))
        assert isinstance(found, bytes)
        return found.decode()

    async def write_as(self, partition: int, witness: str) -> bool:
        """As a script writes that means this witness; whether it could."""
        written = await self.store.eval(
            "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
            "redis.call('XADD', KEYS[2], ARGV[2], 'a', 'b') return 1",
            2,
            epoch_key(partition),
            outbox_key(partition),
            witness,
            f"{witness.split(maxsplit=1)[0]}-*",
        )
        return bool(written == 1)

    async def incidents(self) -> list[tuple[str, int]]:
        rows = await self.ledger.fetch("SELECT kind, partition FROM ledger.incidents ORDER BY incident_id")
        return [(row["kind"], row["partition"]) for row in rows]

    async def follows(self, partition: int, epoch: int) -> OutboxPosition:
        row = await self.ledger.fetchrow(
            "SELECT * FROM ledger.epochs WHERE partition = $1 AND epoch = $2", partition, epoch
        )
        assert row is not None
        return OutboxPosition(row["follows_epoch"], row["follows_sequence"])

    async def as_if_drained_to(self, partition: int, cursor: OutboxPosition) -> None:
        await self.ledger.execute(
            "UPDATE ledger.partitions SET cursor_epoch = $2, cursor_sequence = $3 WHERE partition = $1",
            partition,
            cursor.epoch,
            cursor.sequence,
        )

    async def as_if_promoted(self, partition: int) -> None:
        """The store says that another primary was taken over than the one that it is."""
        witness = (await self.planted())[partition]
        await self.store.set(epoch_key(partition), str(replace(witness, incarnation=ELSEWHERE)))
        await self.ledger.execute(
            "UPDATE ledger.epochs SET incarnation = $2 WHERE partition = $1", partition, ELSEWHERE
        )

"""Reads hot wallets for comparison with the ledger, some at a time, so that the store is never held up."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from persistence.errors import StoreUnavailable
from persistence.transactions import CurrencyCode, OutboxPosition, PlayerId, WalletBalance, partition_of
from persistence.valkey.keys import epoch_key, outbox_key, wallets_key
from persistence.valkey.records import decode_wallet
from persistence.valkey.residence import RESIDENCE, Residence
from persistence.witness import Witness

WalletsOfPlayer = Mapping[CurrencyCode, WalletBalance | None]
"""A player's wallets by currency; None is one that cannot be read."""

_LARGEST_VERSION = 2**63 - 1
_AFTER_TAG = wallets_key(0, PlayerId("")).partition("}")[2]


class HotWallets:
    """The wallets of one store. Every method raises StoreUnavailable where the store fails."""

    def __init__(self, client: Redis, partition_count: int) -> None:
        self._client = client
        self._partition_count = partition_count
        self._partitions = {
            wallets_key(partition, PlayerId("")): partition for partition in range(partition_count)
        }

    async def read(self, players: Sequence[PlayerId]) -> dict[PlayerId, WalletsOfPlayer | None]:
        """All wallets of each player; None for players who are not resident."""
        partitions = [partition_of(player, self._partition_count) for player in players]
        pipeline = self._client.pipeline(transaction=False)
        for player, partition in zip(players, partitions, strict=True):
            pipeline.get(epoch_key(partition))
            pipeline.hgetall(wallets_key(partition, player))
        with _translated_errors():
            replies = await pipeline.execute()
        return {
            player: _read_wallets(witness, fields)
            for player, witness, fields in zip(players, replies[0::2], replies[1::2], strict=True)
        }

    async def players(self, batch_size: int) -> AsyncIterator[list[tuple[int, PlayerId]]]:
        """The partitions and players of all keys of wallets, some at a time; one may come more than once."""
        cursor: Any = 0
        while True:
            with _translated_errors():
                cursor, keys = await self._client.scan(cursor, match=f"*}}{_AFTER_TAG}*", count=batch_size)
            texts = [key.decode(errors="replace") if isinstance(key, bytes) else key for key in keys]
            yield [player for player in map(self._parse, texts) if player is not None]
            if not int(cursor):
                return

    async def outbox_ends(self, partitions: Iterable[int]) -> dict[int, OutboxPosition | None]:
        """The newest record that stands in each partition's outbox; None where it is empty."""
        asked = list(partitions)
        pipeline = self._client.pipeline(transaction=False)
        for partition in asked:
            pipeline.xrevrange(outbox_key(partition), count=1)
        with _translated_errors():
            replies = await pipeline.execute()
        return {
            partition: OutboxPosition.parse(reply[0][0].decode()) if reply else None
            for partition, reply in zip(asked, replies, strict=True)
        }

    def _parse(self, key: str) -> tuple[int, PlayerId] | None:
        """None for keys that are nobody's wallets; ids are ASCII."""
        tag, _, player = key.partition(_AFTER_TAG)
        partition = self._partitions.get(tag + _AFTER_TAG)
        return None if partition is None or not player.isascii() else (partition, PlayerId(player))


@asynccontextmanager
async def hot_wallets(url: str, *, partition_count: int, timeout_s: float) -> AsyncIterator[HotWallets]:
    """A connected reader. Raises StoreUnavailable where the store cannot be reached."""
    client: Redis = Redis.from_url(
        url,
        protocol=2,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with _translated_errors():
            await client.ping()
        yield HotWallets(client, partition_count)
    finally:
        await client.aclose()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except (TimeoutError, OSError, RedisError) as error:
        reason = str(error) or type(error).__name__
        raise StoreUnavailable(f"the store did not answer: {reason}") from error


def _read_wallets(witness: bytes | None, fields: Mapping[bytes, bytes]) -> WalletsOfPlayer | None:
    if not _is_resident(witness, fields.get(RESIDENCE.encode())):
        return None
    return {
        CurrencyCode(currency.decode(errors="replace")): _read_wallet(currency, text)
        for currency, text in fields.items()
        if currency != RESIDENCE.encode()
    }


def _is_resident(witness: bytes | None, marker: bytes | None) -> bool:
    """Whether the player's wallets are of the generation that the partition is in."""
    try:
        generation = Witness.parse((witness or b"").decode()).generation
        return Residence.parse((marker or b"").decode()).generation == generation
    except ValueError:
        return False


def _read_wallet(currency: bytes, text: bytes) -> WalletBalance | None:
    try:
        wallet = decode_wallet(currency.decode(), text.decode())
    except ValueError:
        return None
    return wallet if 0 < wallet.version <= _LARGEST_VERSION else None

"""Reads hot wallets for comparison with the ledger, some at a time, so that the store is never held up."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from persistence.errors import StoreUnavailable
from persistence.transactions import CurrencyCode, OutboxPosition, PlayerId, WalletBalance, partition_of
from persistence.valkey.addresses import StoreAddress
from persistence.valkey.keys import epoch_key, forgotten_key, outbox_key, player_keys, wallets_key
from persistence.valkey.records import decode_wallet
from persistence.valkey.residence import RESIDENCE, Residence
from persistence.valkey.topology import read_topology
from persistence.witness import Witness

WalletsOfPlayer = Mapping[CurrencyCode, WalletBalance | None]
"""A player's wallets by currency; None is one that cannot be read."""

_LARGEST_VERSION = 2**63 - 1
_AFTER_TAG = wallets_key(0, PlayerId("")).partition("}")[2]


class HotWallets:
    """The wallets of one store, by way of ``clients`` of its primaries; ``client_of`` is a partition's.

    Every method raises StoreUnavailable where the store fails.
    """

    def __init__(
        self, clients: Sequence[Redis], client_of: Callable[[int], Redis], *, partition_count: int
    ) -> None:
        self._clients = clients
        self._client_of = client_of
        self._partition_count = partition_count
        self._partitions = {
            wallets_key(partition, PlayerId("")): partition for partition in range(partition_count)
        }

    async def read(self, players: Sequence[PlayerId]) -> dict[PlayerId, WalletsOfPlayer | None]:
        """All wallets of each player; None for players who are not resident."""
        partitions = [partition_of(player, self._partition_count) for player in players]
        pipelines = _Pipelines(self._client_of)
        for player, partition in zip(players, partitions, strict=True):
            pipelines.at(partition).get(epoch_key(partition))
            pipelines.at(partition).hgetall(wallets_key(partition, player))
        replies = await pipelines.execute()
        return {
            player: _read_wallets(witness, fields)
            for player, witness, fields in zip(players, replies[0::2], replies[1::2], strict=True)
        }

    async def residences(self, players: Sequence[PlayerId]) -> dict[PlayerId, str]:
        """Each player's marker as it stands in the store; "" where there is none."""
        pipelines = _Pipelines(self._client_of)
        for player in players:
            partition = partition_of(player, self._partition_count)
            pipelines.at(partition).hget(wallets_key(partition, player), RESIDENCE)
        replies = await pipelines.execute()
        return {
            player: (text or b"").decode(errors="replace")
            for player, text in zip(players, replies, strict=True)
        }

    async def memories(
        self, players: Sequence[PlayerId], *, generation: int
    ) -> list[tuple[PlayerId, Mapping[str, str], Mapping[str, str], Mapping[str, str]]]:
        """All that the store has of each player: wallets, ids and rounds, as texts by their fields. Who is
        not resident in this generation is left out.
        """
        pipelines = _Pipelines(self._client_of)
        for player in players:
            partition = partition_of(player, self._partition_count)
            keys = player_keys(partition, player)
            for key in (keys.wallets, keys.ids, keys.rounds):
                pipelines.at(partition).hgetall(key)
        replies = [
            {field.decode(): text.decode() for field, text in reply.items()}
            for reply in await pipelines.execute()
        ]
        found = zip(players, replies[0::3], replies[1::3], replies[2::3], strict=True)
        return [
            (player, {field: text for field, text in wallets.items() if field != RESIDENCE}, ids, rounds)
            for player, wallets, ids, rounds in found
            if _generation(wallets.get(RESIDENCE, "")) == generation
        ]

    async def forgotten_up_to(self, partition: int) -> OutboxPosition | None:
        """Players and ids of up to this position may have left the store."""
        with _translated_errors():
            text = await self._client_of(partition).get(forgotten_key(partition))
        return OutboxPosition.parse(text.decode()) if isinstance(text, bytes) else None

    async def players(self, batch_size: int) -> AsyncIterator[list[tuple[int, PlayerId]]]:
        """The partitions and players of all keys of wallets, some at a time; one may come more than once."""
        for client in self._clients:
            cursor: Any = None
            while cursor is None or int(cursor):
                with _translated_errors():
                    cursor, keys = await client.scan(cursor or 0, match=f"*}}{_AFTER_TAG}*", count=batch_size)
                texts = [key.decode(errors="replace") if isinstance(key, bytes) else key for key in keys]
                yield [player for player in map(self._parse, texts) if player is not None]

    async def outbox_ends(self, partitions: Iterable[int]) -> dict[int, OutboxPosition | None]:
        """The newest record that stands in each partition's outbox; None where it is empty."""
        asked = list(partitions)
        pipelines = _Pipelines(self._client_of)
        for partition in asked:
            pipelines.at(partition).xrevrange(outbox_key(partition), count=1)
        replies = await pipelines.execute()
        return {
            partition: OutboxPosition.parse(reply[0][0].decode()) if reply else None
            for partition, reply in zip(asked, replies, strict=True)
        }

    def _parse(self, key: str) -> tuple[int, PlayerId] | None:
        """None for keys that are nobody's wallets; ids are ASCII."""
        tag, _, player = key.partition(_AFTER_TAG)
        partition = self._partitions.get(tag + _AFTER_TAG)
        return None if partition is None or not player.isascii() else (partition, PlayerId(player))


class _Pipelines:
    """A pipeline for each node that is asked; the replies come in the order of the commands."""

    def __init__(self, client_of: Callable[[int], Redis]) -> None:
        self._client_of = client_of
        self._pipelines: dict[Redis, Any] = {}
        self._order: list[Redis] = []

    def at(self, partition: int) -> Any:
        """The pipeline of the partition's node, for one command."""
        client = self._client_of(partition)
        self._order.append(client)
        if client not in self._pipelines:
            self._pipelines[client] = client.pipeline(transaction=False)
        return self._pipelines[client]

    async def execute(self) -> list[Any]:
        with _translated_errors():
            replies = {client: iter(await asked.execute()) for client, asked in self._pipelines.items()}
        return [next(replies[client]) for client in self._order]


@asynccontextmanager
async def hot_wallets(
    url: str, *, partition_count: int, timeout_s: float, must_all_answer: bool = True
) -> AsyncIterator[HotWallets]:
    """A connected reader. Raises StoreUnavailable where the store cannot be reached, and SetupRefused for an
    address that is none.

    Where not all primaries ``must_all_answer``, each is connected to when it is first asked.
    """
    address = StoreAddress.parse(url)
    async with AsyncExitStack() as stack:
        if not address.is_cluster:
            only = await stack.enter_async_context(_client(url, timeout_s, must_answer=must_all_answer))
            yield HotWallets([only], lambda _: only, partition_count=partition_count)
            return
        topology = await read_topology(address, timeout_s=timeout_s)
        clients = {
            node: await stack.enter_async_context(
                _client(address.url_of(node), timeout_s, must_answer=must_all_answer)
            )
            for node in topology.primaries
        }
        yield HotWallets(
            list(clients.values()),
            lambda partition: clients[topology.primary_of(outbox_key(partition))],
            partition_count=partition_count,
        )


@asynccontextmanager
async def _client(url: str, timeout_s: float, *, must_answer: bool) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(
        url,
        protocol=2,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        if must_answer:
            with _translated_errors():
                await client.ping()
        yield client
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


def _generation(marker: str) -> int | None:
    try:
        return Residence.parse(marker).generation
    except ValueError:
        return None


def _read_wallet(currency: bytes, text: bytes) -> WalletBalance | None:
    try:
        wallet = decode_wallet(currency.decode(), text.decode())
    except ValueError:
        return None
    return wallet if 0 < wallet.version <= _LARGEST_VERSION else None

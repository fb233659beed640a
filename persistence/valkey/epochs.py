"""The store's side of the partitions' epochs."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from persistence.errors import StoreUnavailable
from persistence.valkey.keys import epoch_key


class StoredEpochs:
    """Reads and plants epochs."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def read(self, partitions: Sequence[int]) -> dict[int, int | None]:
        """Each partition's epoch; None where the store has none. Raises StoreUnavailable."""
        found: dict[int, int | None] = {}
        with _translated_errors():
            for partition in partitions:
                text = await self._client.get(epoch_key(partition))
                found[partition] = None if text is None else int(text)
        return found

    async def plant(self, partitions: Sequence[int], epoch: int) -> None:
        """Gives an epoch to the partitions that have none. Raises StoreUnavailable."""
        with _translated_errors():
            for partition in partitions:
                await self._client.set(epoch_key(partition), str(epoch), nx=True)


@asynccontextmanager
async def stored_epochs(url: str, *, timeout_s: float) -> AsyncIterator[StoredEpochs]:
    client = Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )
    try:
        yield StoredEpochs(client)
    finally:
        await client.aclose()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"the store cannot be reached: {error}") from error

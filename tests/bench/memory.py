"""What Valkey pays for a wallet and for a remembered id."""

import redis.asyncio as redis

from persistence.valkey.keys import outbox_key


async def bytes_used(valkey: "redis.Redis", *, partition_count: int) -> int:
    """Memory in use, without what the outboxes still hold of records that are drained already."""
    used = int((await valkey.info("memory"))["used_memory"])
    for partition in range(partition_count):
        used -= int(await valkey.memory_usage(outbox_key(partition), samples=0) or 0)
    return used

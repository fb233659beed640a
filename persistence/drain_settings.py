"""How to drain."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """Where to drain from and to, and how.

    ``batch_records`` bounds the records of one partition in one SQL transaction; each worker has one
    transaction at a time, over all of its partitions that have something. A drainer that is silent for
    ``lease_s`` loses its partitions to the others.
    """

    postgres_url: str
    valkey_url: str
    batch_records: int = 1000
    worker_count: int = 2
    block_ms: int = 500
    claim_interval_s: float = 1.0
    lease_s: float = 5.0
    statement_timeout_s: float = 10.0
    store_timeout_s: float = 5.0
    first_retry_delay_s: float = 0.1
    last_retry_delay_s: float = 5.0

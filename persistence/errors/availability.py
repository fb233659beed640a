"""What cannot be done now, for lack of a store, a ledger, room or time."""

from collections.abc import Mapping
from enum import StrEnum

from persistence.errors.roots import NotDone


class StoreUnavailable(NotDone):
    """The hot path's store could not be reached before anything was sent."""


class PartitionFenced(NotDone):
    """The partition's store is not the one that the ledger knows: it lost data, or was swapped."""

    def __init__(self, partition: int) -> None:
        super().__init__(f"partition {partition} is fenced")
        self.partition = partition

    def metadata(self) -> Mapping[str, str]:
        return {"partition": str(self.partition)}


class IncarnationChanged(NotDone):
    """The store's primary is in another life than the one that the call names: it was restarted or replaced.

    ``found`` is the incarnation that there is now.
    """

    def __init__(self, found: str) -> None:
        super().__init__(f"the store's primary is another incarnation: {found}")
        self.found = found


class LedgerUnavailable(NotDone):
    """Postgres could not be reached, or did not answer in time."""


class Shortage(StrEnum):
    """What there is too little of, or what is too full. Told to callers, and counted."""

    IN_FLIGHT = "in_flight"
    SOURCE = "source"
    RATE = "rate"
    QUEUE = "queue"
    OUTBOX = "outbox"
    MEMORY = "memory"
    SUBSCRIBERS = "subscribers"


class Overloaded(NotDone):
    """There is more to do than can be done.

    ``source_id`` is told where one source has too many calls, or calls too often; ``partition`` where it is
    its outbox, or its primary's memory, that is too full.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_delay_ms: int,
        cause: Shortage = Shortage.QUEUE,
        source_id: str = "",
        partition: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_delay_ms = retry_delay_ms
        self.cause = cause
        self.source_id = source_id
        self.partition = partition

    def metadata(self) -> Mapping[str, str]:
        metadata = {"cause": str(self.cause)}
        if self.source_id:
            metadata["source_id"] = self.source_id
        if self.partition is not None:
            metadata["partition"] = str(self.partition)
        return metadata


class Stopping(NotDone):
    """The server is about to end, and takes nothing new."""


class DeadlineExceeded(NotDone):
    """The caller's deadline passed while the call was still waiting to be sent."""

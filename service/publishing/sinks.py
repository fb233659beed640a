"""What a publisher needs of a message broker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.publishing.cloud_events import CloudEvent


class SinkUnavailable(Exception):
    """The broker cannot be reached, or is not as it must be. The message says what to do, if anything."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a partition's events: so many from the first on are confirmed; why no more, or ""."""

    confirmed: int
    problem: str = ""


class Sink(Protocol):
    """A connection to a broker. After a problem it is closed, and another one opened."""

    async def deliver(self, events: Sequence[CloudEvent]) -> Delivery:
        """Sends events of one partition, in order, and waits until the broker has them for sure.

        An event is sent only when all before it of the same player are confirmed. Calls for several
        partitions may overlap; none takes more than twice the settings' timeout, and nothing is sent any more
        once it is over.
        """

    async def close(self) -> None:
        """Raises nothing."""

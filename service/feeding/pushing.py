"""What a round needs of the service: to be told rates, and to say what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fx.feeds.feed import FeedRate


class Reception(StrEnum):
    """What became of a rate: used, kept for somebody to confirm, known or outdated, not taken at all."""

    ACCEPTED = "accepted"
    HELD = "held"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Received:
    """``reason`` is the service's; empty where the rate was accepted."""

    rate: FeedRate
    reception: Reception
    reason: str = ""


class PushFailed(Exception):
    """The service could not be told, or did not answer: some of the rates may have arrived all the same."""


class Pusher(Protocol):
    """Where rates go."""

    async def push(self, rates: Sequence[FeedRate]) -> Sequence[Received]:
        """What became of each, in their order. A rate may be pushed again and again. Raises PushFailed."""
        ...

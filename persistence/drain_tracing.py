"""What the drainer tells of records whose calls are traced."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from persistence.drain_batch import RawRecord
from persistence.tracing import BetweenTraces, WorkTrace


class DrainTrace(WorkTrace, Protocol):
    """One turn of a drainer's worker: what it read, and made of it."""

    def wrote(self, partition: int, records: Iterable[RawRecord]) -> None:
        """These are in the ledger now."""


class DrainTracing(Protocol):
    """Looks at what was read, and traces the turn where a record says that its call is traced."""

    def turn(self, received: Mapping[int, Sequence[RawRecord]]) -> AbstractContextManager[DrainTrace]:
        """As long as the context lasts."""
        ...


class _Untraced(BetweenTraces):
    def wrote(self, partition: int, records: Iterable[RawRecord]) -> None:
        """Nobody is told."""


UNTRACED: DrainTrace = _Untraced()


class NoDrainTracing:
    """Traces nothing, and looks at nothing."""

    def turn(self, received: Mapping[int, Sequence[RawRecord]]) -> AbstractContextManager[DrainTrace]:
        return nullcontext(UNTRACED)

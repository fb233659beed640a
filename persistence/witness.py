"""The witness: what a partition of the store says of itself, and of the ledger that it belongs to."""

import re
from dataclasses import dataclass
from uuid import UUID

_SHOWN_CHARACTERS = 60
_INCARNATION = re.compile(r"[0-9a-f]{1,64}")


CLOSED = " closed"
"""Stands after a witness while the store is taken over: no script means such a one, so nobody writes."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A partition's place in its history. As text, in the store:
    ``<epoch> <ledger id> <generation> <incarnation>``.

    ``generation`` is the epoch since which the store's memory of players holds. ``incarnation`` is the
    primary that was taken over last, by its replication id: a replica that was promoted, or a store that was
    started again, has another one, and decides nothing before it is taken over in its turn.
    """

    epoch: int
    ledger_id: UUID
    generation: int
    incarnation: str

    @classmethod
    def parse(cls, text: str) -> "Witness":
        """Raises ValueError for anything but the one way in which a witness is written: scripts compare it
        letter by letter.
        """
        epoch, ledger_id, generation, incarnation = text.split(" ")
        witness = cls(int(epoch), UUID(ledger_id), int(generation), incarnation)
        if str(witness) != text or not _INCARNATION.fullmatch(incarnation):
            raise ValueError(f"{shown(text)!r} is no witness")
        return witness

    def __str__(self) -> str:
        return f"{self.epoch} {self.ledger_id} {self.generation} {self.incarnation}"


def shown(text: str) -> str:
    """As much of a text that should not be there as is good to show."""
    return text[:_SHOWN_CHARACTERS]

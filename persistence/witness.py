"""The witness: what a partition of the store says of the ledger that it belongs to."""

from dataclasses import dataclass
from uuid import UUID

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Witness:
    """The ledger, and the epoch of the partition. As text, in the store: ``<epoch> <ledger id>``."""

    epoch: int
    ledger_id: UUID

    @classmethod
    def parse(cls, text: str) -> "Witness":
        """Raises ValueError for anything but the one way in which a witness is written: scripts compare it
        letter by letter.
        """
        epoch, _, ledger_id = text.partition(" ")
        witness = cls(int(epoch), UUID(ledger_id))
        if str(witness) != text:
            raise ValueError(f"{text[:_SHOWN_CHARACTERS]!r} is no witness")
        return witness

    def __str__(self) -> str:
        return f"{self.epoch} {self.ledger_id}"

    def problem(self, found: str | None) -> str | None:
        """Why a store where this was found is not the one that the ledger, whose witness this is, knows."""
        if found is None:
            return f"the ledger is in epoch {self.epoch}, but the store has no data"
        try:
            witness = Witness.parse(found)
        except ValueError:
            return (
                f"the ledger is in epoch {self.epoch}, but the store has {found[:_SHOWN_CHARACTERS]!r} where "
                "an epoch and a ledger should be named"
            )
        if witness.ledger_id != self.ledger_id:
            return f"the ledger is {self.ledger_id}, but the store is of another ledger, {witness.ledger_id}"
        if witness.epoch != self.epoch:
            return f"the ledger is in epoch {self.epoch}, but the store in epoch {witness.epoch}"
        return None

"""What each slip has moved: as it was played, and as the ledger's entries sum up."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from service.demo.plays import Line
from stakehold.v1 import ledger_service_pb2

SlipName = tuple[str, str]
"""Player and slip."""


@dataclass(slots=True)
class SlipBooks:
    """Amounts are in the wallet's currency, positive in the player's favour; what is held is the player's."""

    played: dict[SlipName, Decimal] = field(default_factory=dict)
    booked: dict[SlipName, Decimal] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)

    def book(self, player: str, entries: Iterable[ledger_service_pb2.Entry]) -> None:
        """Sums up a player's entries."""
        for entry in entries:
            if entry.HasField("slip"):
                name = (player, entry.slip.slip_id)
                change = sum(map(Decimal, (entry.change.cash, entry.change.bonus, entry.change.held)))
                self.booked[name] = self.booked.get(name, Decimal()) + change

    def disagreements(self) -> list[str]:
        """Slips that have moved something else than what was played."""
        return [
            f"{player} {slip}: {self.booked.get((player, slip), 'nothing')} in the ledger,"
            f" {self.played.get((player, slip), 'nothing')} as played"
            for player, slip in sorted(self.played.keys() | self.booked.keys())
            if self.played.get((player, slip)) != self.booked.get((player, slip))
        ]


def slips_played(lines: Sequence[Line]) -> SlipBooks:
    """What a play says of its slips, in the lines that list them."""
    books = SlipBooks()
    for line in lines:
        if line.rpc == "ListSlips" and line.expect:
            for slip_id, slip in line.expect[0]["slips"].items():
                books.played[line.player, slip_id] = Decimal(slip["moved"])
                books.states[slip["state"]] += 1
    return books

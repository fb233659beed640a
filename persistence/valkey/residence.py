"""The scripts that make players resident and not: the other side of ``lua/includes/residence.lua``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lua import load_script
from persistence.older_filter import OlderFilter, blocks_for
from persistence.player_memory import PlayerMemory, Recollection
from persistence.transactions import SEPARATOR, OutboxPosition

LOAD_PLAYER = load_script("load_player")
RECALL = load_script("recall")
FORGET = load_script("forget")

RESIDENCE = ""
"""The marker's field in a player's hash of wallets. No currency has this code."""

ANYTHING = "*"
"""What ``older`` says where the ledger has to be asked about everything that the store does not have."""


@dataclass(frozen=True, slots=True)
class Residence:
    """A player's marker. ``position`` is None where nothing was recorded since the player was loaded.

    ``older`` is "" where the store has all that the player ever did, ANYTHING, or the number of blocks of the
    player's filter of older ids, which has ``older_count`` fields.
    """

    generation: int
    position: OutboxPosition | None
    used_ms: int
    older: str
    older_count: int

    @classmethod
    def parse(cls, text: str) -> "Residence":
        """Raises ValueError for what the scripts do not write."""
        generation, position, used_ms, older, older_count = text.split(SEPARATOR)
        return cls(
            int(generation),
            OutboxPosition.parse(position) if position else None,
            int(used_ms),
            older,
            int(older_count),
        )


def load_arguments(memory: PlayerMemory) -> list[str | bytes]:
    """ARGV of the script ``load_player``, but for the witness in front."""
    older, filter_ = "", b""
    if memory.older is None:
        older = ANYTHING
    elif memory.older:
        blocks = blocks_for(len(memory.older))
        older, filter_ = str(blocks), OlderFilter.of(memory.older, blocks).bytes
    texts = (memory.wallets, memory.ids, memory.rounds)
    return [
        str(memory.cursor),
        older,
        str(len(memory.older or ())),
        filter_,
        *(str(len(pairs)) for pairs in texts),
        *_flat(texts),
    ]


def recall_arguments(found: Recollection) -> list[str | bytes]:
    """ARGV of the script ``recall``, but for the witness in front."""
    return [str(found.cursor), str(len(found.ids)), *_flat((found.ids, found.rounds))]


def _flat(mappings: Sequence[Mapping[str, str]]) -> list[str]:
    return [text for pairs in mappings for pair in pairs.items() for text in pair]

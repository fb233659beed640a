"""What a batch's time goes into, between the first call's coming and the answers' leaving."""

from collections.abc import Callable
from enum import StrEnum


class Stage(StrEnum):
    """QUEUE is until the batch is sent, of the call that has waited longest. SCRIPT is until the store has
    run all scripts and synced its file. CONFIRMATION is what replicas take beyond that, where they are asked.
    """

    QUEUE = "queue"
    SCRIPT = "script"
    CONFIRMATION = "confirmation"


OnStage = Callable[[Stage, float], None]
"""Is told a stage of one batch, and its seconds."""

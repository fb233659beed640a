"""The words of the inbox: submissions, their commands, and what became of them.

Values of the enumeration are stored in Postgres: they are never renamed, only added to. A command and its
result are bytes here, messages of the API.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from persistence.transactions import PlayerId


class CommandState(StrEnum):
    """WAITING until it is decided; REFUSED where the wallet remembers that, DEAD where it was given up."""

    WAITING = "waiting"
    APPLIED = "applied"
    REFUSED = "refused"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command that is about to be accepted."""

    partition: int
    player_id: PlayerId
    transaction_id: str
    command: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """What was accepted. ``number`` orders submissions by when they were; ``finished_time`` is None while a
    command waits. ``submitted_by`` is the caller, "" where it is from before callers had names.
    """

    number: int
    source_id: str
    submission_id: str
    digest: bytes
    command_count: int
    accepted_time: datetime
    finished_time: datetime | None
    submitted_by: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How many commands of a submission are in which state; ``retrying`` are among those that wait.

    ``now`` is the database's clock.
    """

    waiting: int
    retrying: int
    applied: int
    refused: int
    dead: int
    most_attempts: int
    last_decision_time: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class SubmittedCommand:
    """What became of a command. ``result`` is its last answer; None before the first attempt."""

    submission_number: int
    source_id: str
    submission_id: str
    index: int
    player_id: PlayerId
    transaction_id: str
    state: CommandState
    attempts: int
    last_attempt_time: datetime | None
    due_time: datetime | None
    result: bytes | None
    command: bytes | None = None


@dataclass(frozen=True, slots=True)
class CommandPage:
    """Some commands. ``next_page_token`` is empty where there are no more."""

    commands: list[SubmittedCommand]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class SubmissionPage:
    """Some submissions. ``next_page_token`` is empty where there are no more."""

    submissions: list[Submission]
    next_page_token: str


CommandKey = tuple[int, int]
"""A submission's number and the command's place in it."""


@dataclass(frozen=True, slots=True)
class WaitingCommand:
    """A command to apply. ``due_in_s`` is how long its next attempt has to wait, None before the first."""

    key: CommandKey
    partition: int
    player_id: PlayerId
    command: bytes
    attempts: int
    first_attempt_time: datetime | None
    due_in_s: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of trying a command. ``retry_in_s`` is None where it is decided."""

    command: WaitingCommand
    state: CommandState
    attempts: int
    first_attempt_time: datetime
    last_attempt_time: datetime
    retry_in_s: float | None
    result: bytes

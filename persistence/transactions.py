"""The words that the engine, the outbox and the ledger share.

Values of the enumerations are stored in Valkey and in Postgres: they are never renamed, only added to.
Amounts are integers of minor units (cents, satoshi, wei), signed, of any size up to 36 digits.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType
from zlib import crc32

PlayerId = NewType("PlayerId", str)
SourceId = NewType("SourceId", str)
TransactionId = NewType("TransactionId", str)
CurrencyCode = NewType("CurrencyCode", str)
Partition = NewType("Partition", int)

OPERATOR_SOURCE = SourceId("stakehold")
"""The source of records that operators cause (wallets opened, statuses set). No caller can take this name."""

MAX_DIGITS = 36
"""The most digits that an amount or a balance has, in minor units."""


SEPARATOR = "\x1f"
"""Stands between the fields of stored texts (US, 0x1F). Ids are printable, so none contains it."""


class TransactionKind(StrEnum):
    BET = "bet"
    WIN = "win"
    REFUND = "refund"
    JACKPOT_WIN = "jackpot_win"
    PROMOTIONAL_WIN = "promotional_win"
    TIP = "tip"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    BONUS = "bonus"
    CORRECTION = "correction"
    EXCHANGE = "exchange"
    ROUND_CLOSING = "round_closing"
    CASH_OUT = "cash_out"
    ROLLBACK = "rollback"


class Operation(StrEnum):
    """What a step does to a wallet. A kind alone does not say: corrections go both ways."""

    DEBIT = "debit"
    CREDIT = "credit"
    ROLLBACK = "rollback"
    SWEEP = "sweep"
    """The rollback of a bet that was left without any settlement, and of no other; recorded as a rollback."""
    CLOSE_ROUND = "close_round"
    HOLD = "hold"
    """Sets money aside, and opens a slip."""
    PLACE = "place"
    """Takes a stake, and opens a slip."""
    CAPTURE = "capture"
    RELEASE = "release"
    EXPIRE = "expire"
    SETTLE = "settle"
    RESETTLE = "resettle"
    UNSETTLE = "unsettle"
    VOID = "void"
    REOPEN = "reopen"
    CASH_OUT = "cash_out"


TAKES = frozenset((Operation.DEBIT, Operation.HOLD, Operation.PLACE))
"""What needs the player's funds."""

ON_SLIPS = (
    frozenset(Operation)
    - TAKES
    - {Operation.CREDIT, Operation.ROLLBACK, Operation.SWEEP, Operation.CLOSE_ROUND}
)
"""What changes a slip that is there, by reference to what opened it."""


class EntryType(StrEnum):
    APPLIED = "applied"
    REFUSED = "refused"
    NO_MOVEMENT = "no_movement"
    TOMBSTONE = "tombstone"
    WALLET_OPENED = "wallet_opened"
    STATUS_CHANGED = "status_changed"
    ROUND_CLOSED = "round_closed"


class Outcome(StrEnum):
    APPLIED = "applied"
    NO_ORIGINAL = "no_original"
    ALREADY_ROLLED_BACK = "already_rolled_back"
    ORIGINAL_REFUSED = "original_refused"
    ALREADY_CLOSED = "already_closed"


class WalletStatus(StrEnum):
    ACTIVE = "active"
    DEBITS_FROZEN = "debits_frozen"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Buckets:
    """One amount for each bucket of a wallet: balances, or changes of them."""

    cash: int = 0
    bonus: int = 0
    held: int = 0
    receivable: int = 0

    def total(self) -> int:
        """What is the player's in all. A receivable is the house's and does not count."""
        return self.cash + self.bonus + self.held


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """A wallet at one version."""

    currency: CurrencyCode
    version: int
    status: WalletStatus
    buckets: Buckets
    credit_line: int


@dataclass(frozen=True, slots=True, order=True)
class OutboxPosition:
    """A place in a partition's outbox: its stream id is ``epoch-sequence``.

    Within an epoch sequences are contiguous from 0; a partition's epoch is raised when it recovers.
    """

    epoch: int
    sequence: int

    @classmethod
    def parse(cls, stream_id: str) -> "OutboxPosition":
        epoch, _, sequence = stream_id.partition("-")
        return cls(int(epoch), int(sequence))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"

    def precedes(self, other: "OutboxPosition") -> bool:
        """Whether ``other`` is the very next position of the same epoch."""
        return other.epoch == self.epoch and other.sequence == self.sequence + 1


@dataclass(frozen=True, slots=True, order=True)
class EntryId:
    """Names an entry for ever: partition, outbox record, and place within the record."""

    partition: int
    position: OutboxPosition
    index: int

    @classmethod
    def parse(cls, text: str) -> "EntryId":
        partition, epoch, sequence, index = map(int, text.split("-"))
        return cls(partition, OutboxPosition(epoch, sequence), index)

    def __str__(self) -> str:
        return f"{self.partition}-{self.position}-{self.index}"


def partition_of(player_id: PlayerId, partition_count: int) -> Partition:
    """The partition that holds everything of a player. The count never changes once a ledger exists."""
    return Partition(crc32(player_id.encode("ascii")) % partition_count)

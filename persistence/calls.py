"""What the service asks of the engine, and what it gets back."""

from dataclasses import dataclass, field
from enum import StrEnum

from fx.conversions import Conversion
from persistence.slips import Slip, SlipTerms
from persistence.transactions import (
    CurrencyCode,
    Operation,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletBalance,
)


class SettledRollbackPolicy(StrEnum):
    REFUSE = "refuse"
    ALLOW = "allow"


class UnknownBetPolicy(StrEnum):
    REFUSE = "refuse"
    ACCEPT = "accept"


class LateWinPolicy(StrEnum):
    ACCEPT = "accept"
    REFUSE = "refuse"


class ShortfallPolicy(StrEnum):
    NEGATIVE = "negative"
    CLAMP = "clamp"
    REJECT = "reject"


class ZeroAmountPolicy(StrEnum):
    ACCEPT = "accept"
    REFUSE = "refuse"


class ForeignCurrencyPolicy(StrEnum):
    """What an amount in a currency means that the player has no wallet in."""

    REFUSE = "refuse"
    CONVERT = "convert"


class SourceStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often a server takes calls: so many a second in the long run, ``burst`` at once after a pause."""

    calls_per_s: int
    burst: int


@dataclass(frozen=True, slots=True)
class Source:
    """A calling provider or service and its policies: where providers differ, the default comes first."""

    source_id: SourceId
    display_name: str = ""
    status: SourceStatus = SourceStatus.ENABLED
    settled_rollback: SettledRollbackPolicy = SettledRollbackPolicy.REFUSE
    unknown_bet: UnknownBetPolicy = UnknownBetPolicy.REFUSE
    late_win: LateWinPolicy = LateWinPolicy.ACCEPT
    shortfall: ShortfallPolicy = ShortfallPolicy.NEGATIVE
    zero_amount: ZeroAmountPolicy = ZeroAmountPolicy.ACCEPT
    foreign_currency: ForeignCurrencyPolicy = ForeignCurrencyPolicy.REFUSE
    orphan_horizon_ms: int | None = None
    """How long a bet may stand without any settlement before it is given back; None: for ever."""
    rate_limit: RateLimit | None = None
    """None: as the server's settings say."""


class SessionFault(StrEnum):
    """What is wrong with the session that a bet needs."""

    UNKNOWN = "unknown"
    OVER = "over"
    MISMATCH = "mismatch"
    """It is for another game or currency."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction to apply.

    ``amount`` is minor units, None only where none is named: by rollbacks, a round's closing, and what
    concerns all of a slip. ``kind`` is None for what takes it from its slip. ``currency_status`` is the
    registry's word for the currency at the time of the call. ``reference`` is a rollback's original, or what
    opened a slip. ``metadata`` is a JSON object as text, "" for none. Ids are "" where they do not
    apply. ``wallet_currency`` names the wallet where it is not the one in ``currency``. ``offer`` is what a
    quote has promised, as the script reads it (``quoted_offer`` in persistence.valkey.requests). A debit with
    a ``session_fault`` is refused for good, unless its id is known: then that is the answer.
    """

    operation: Operation
    kind: TransactionKind | None
    transaction_id: TransactionId
    currency: CurrencyCode | None
    amount: int | None
    currency_status: str = "enabled"
    game: str = ""
    round: str = ""
    reference: str = ""
    closes_round: bool = False
    expected_version: int | None = None
    occurred_ms: int | None = None
    metadata: str = ""
    wallet_currency: CurrencyCode | None = None
    offer: str = ""
    terms: SlipTerms | None = None
    session_fault: SessionFault | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Ordered steps on one player's wallets, all or nothing. ``player_group`` says which spreads hold."""

    player_id: PlayerId
    source: Source
    steps: tuple[Step, ...]
    player_group: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a step of a call that was answered OK. Shapes as stakehold.v1.TransactionResult.

    ``converted`` is what a converted amount became, in minor units of the wallet's currency. ``slip`` is the
    slip as it is now.
    """

    transaction_id: TransactionId
    outcome: Outcome
    replayed: bool
    entry_id: str
    booked_ms: int
    late: bool
    receivable_change: int
    balance_after: WalletBalance | None
    balance_now: WalletBalance | None
    conversion: Conversion | None = None
    converted: int = 0
    slip: Slip | None = None


class TransactionState(StrEnum):
    NOT_SEEN = "not_seen"
    APPLIED = "applied"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    NO_MOVEMENT = "no_movement"
    TOMBSTONE = "tombstone"
    ROUND_CLOSED = "round_closed"


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """All that is remembered under a transaction id.

    ``balance`` is the wallet right after it was applied, or when it was refused. ``related`` is what made the
    state: the rollback that undid or forestalled it, or what a refusal ran into.
    """

    state: TransactionState
    transaction_id: TransactionId
    operation: Operation | None = None
    kind: TransactionKind | None = None
    entry_id: str = ""
    booked_ms: int = 0
    currency: CurrencyCode | None = None
    amount: int | None = None
    receivable_change: int = 0
    balance: WalletBalance | None = None
    balance_now: WalletBalance | None = None
    game: str = ""
    round: str = ""
    reference: str = ""
    outcome: Outcome | None = None
    reason: str = ""
    related: str = ""
    late: bool = False
    conversion: Conversion | None = None
    slip: Slip | None = None
    """Of what opened it the slip as it is now; of what changed it the slip before."""


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """What is remembered of a round. ``game`` is "" where there is none.

    ``bets`` counts what was ever bet, ``live_bets`` without what was rolled back; ``wins`` the wins and
    refunds that stand, ``unattributed_wins`` those of them that name no bet. ``closed_ms`` is None also where
    it is not known any more.
    """

    source: SourceId
    game: str
    round: str
    is_closed: bool
    bets: int
    live_bets: int
    wins: int
    unattributed_wins: int
    used_ms: int
    closed_ms: int | None

    @property
    def is_open(self) -> bool:
        """Whether there is something to be gone on with."""
        return not self.is_closed and self.live_bets > 0


class RestoreOutcome(StrEnum):
    """What became of an entry that was to be booked once more."""

    BOOKED = "booked"
    KNOWN = "known"
    """Its id has been used: it was never lost, or a caller has asked again since."""
    NO_WALLET = "no_wallet"
    NO_ORIGINAL = "no_original"
    """It undoes what was never booked."""
    ROLLED_BACK = "rolled_back"
    """It undoes what was undone already, or moved nothing."""
    OVERFLOW = "overflow"
    OTHER_EXCHANGE = "other_exchange"
    """It is one side of an exchange, and the other side stands as another's, or was refused."""
    SLIP_MOVED_ON = "slip_moved_on"
    """Its slip has changed otherwise since."""


@dataclass(frozen=True, slots=True)
class PlayerView:
    """A player's wallets, ordered by currency, and one transaction, all read at one moment."""

    balances: tuple[WalletBalance, ...] = ()
    transaction: TransactionRecord | None = field(default=None)

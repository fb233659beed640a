"""What can go wrong below the API.

StakeholdError
├── Unauthenticated            it is not known who calls
├── NotPermitted               the caller may not do this; nothing was done, nothing is remembered
│   ├── SourceNotPermitted
│   └── VerbNotPermitted
├── Refused                    a transaction was refused: the wallet's state, or a conflict
├── NotDone                    certainly nothing was done; the same id may ask again
│   ├── StoreUnavailable
│   ├── PartitionFenced
│   ├── IncarnationChanged
│   ├── LedgerUnavailable
│   ├── Overloaded
│   ├── Stopping
│   └── DeadlineExceeded
├── OutcomeUnknown             it may have been applied; the same id may ask again
├── NotFound                   something asked for does not exist
│   ├── WalletNotFound
│   ├── SourceNotFound
│   ├── BalanceNotFound
│   ├── SlipNotFound
│   ├── PairUnknown
│   ├── RateNotFound
│   ├── SubmissionNotFound
│   ├── RoundNotFound
│   ├── ReviewNotFound
│   ├── CaseNotFound
│   ├── ProviderNotFound
│   └── SessionNotFound
├── FieldInvalid               the caller sent something malformed
│   ├── CurrencyUnknown
│   ├── CursorInvalid
│   ├── PageTokenInvalid
│   └── QuoteInvalid
├── QuoteMismatch              the quote is good, and not for this
│   ├── QuoteOfAnotherPlayer
│   ├── QuoteSideMismatch
│   └── QuoteAmountMismatch
├── CurrencyImmutable
├── CurrencyDisabled
├── RateUnusable               money cannot be converted at a rate of now; later it may be
│   ├── RateUnknown
│   ├── RateStale
│   ├── RateHeld
│   └── CurrencyDepegged
├── RateNotHeld
├── SamePerson
├── SubmissionIdConflict
├── CursorNotInLedger
├── SubscriberStalled
├── ReviewResolved
├── InvalidTransition
├── CaseIdConflict
├── ApprovalBySamePerson
├── SessionConflict
├── SetupRefused               the service must not start like this
│   └── StoreUnsafe
└── LedgerBroken               the drain of a partition must stop
    ├── OutboxRecordMalformed
    ├── OutboxGap
    ├── HistoryForked
    ├── VersionGap
    ├── EntryRefused
    │   └── TransactionIdTaken
    ├── DriftDetected
    └── CursorMoved
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from persistence.transactions import TransactionId, WalletBalance

_MOST_TOLD_BACK = 128


def briefly(text: str) -> str:
    """What a caller has sent, to be told back: an answer does not grow with what it refuses."""
    return text if len(text) <= _MOST_TOLD_BACK else f"{text[:_MOST_TOLD_BACK]}…"


class RefusalReason(StrEnum):
    """The words with which the scripts refuse, in no order. The order of checks is the script's."""

    WALLET_NOT_FOUND = "WALLET_NOT_FOUND"
    REFERENCE_NOT_FOUND = "REFERENCE_NOT_FOUND"
    TRANSACTION_ID_CONFLICT = "TRANSACTION_ID_CONFLICT"
    TRANSACTION_ROLLED_BACK = "TRANSACTION_ROLLED_BACK"
    BET_ROLLED_BACK = "BET_ROLLED_BACK"
    BET_REFUSED = "BET_REFUSED"
    BET_SETTLED = "BET_SETTLED"
    REFERENCE_MISMATCH = "REFERENCE_MISMATCH"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    NOT_REVERSIBLE = "NOT_REVERSIBLE"
    ROUND_CLOSED = "ROUND_CLOSED"
    ZERO_AMOUNT_REFUSED = "ZERO_AMOUNT_REFUSED"
    CURRENCY_DISABLED = "CURRENCY_DISABLED"
    SOURCE_DISABLED = "SOURCE_DISABLED"
    WALLET_FROZEN = "WALLET_FROZEN"
    WALLET_CLOSED = "WALLET_CLOSED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    BALANCE_OVERFLOW = "BALANCE_OVERFLOW"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    WALLET_AMBIGUOUS = "WALLET_AMBIGUOUS"
    AMOUNT_TOO_SMALL = "AMOUNT_TOO_SMALL"
    RATE_UNKNOWN = "RATE_UNKNOWN"
    RATE_STALE = "RATE_STALE"
    RATE_HELD = "RATE_HELD"
    CURRENCY_DEPEGGED = "CURRENCY_DEPEGGED"
    QUOTE_EXPIRED = "QUOTE_EXPIRED"
    QUOTE_USED = "QUOTE_USED"
    HOLD_CLOSED = "HOLD_CLOSED"
    HOLD_RELEASED = "HOLD_RELEASED"
    HOLD_EXPIRED = "HOLD_EXPIRED"
    HOLD_EXCEEDED = "HOLD_EXCEEDED"
    HOLD_NOT_DUE = "HOLD_NOT_DUE"
    SLIP_NOT_PLACED = "SLIP_NOT_PLACED"
    SLIP_SETTLED = "SLIP_SETTLED"
    SLIP_NOT_SETTLED = "SLIP_NOT_SETTLED"
    SLIP_VOIDED = "SLIP_VOIDED"
    SLIP_NOT_VOIDED = "SLIP_NOT_VOIDED"
    SLIP_CASHED_OUT = "SLIP_CASHED_OUT"
    STAKE_EXCEEDED = "STAKE_EXCEEDED"
    SLIP_MOVED_ON = "SLIP_MOVED_ON"


RATE_REASONS = (
    RefusalReason.RATE_UNKNOWN,
    RefusalReason.RATE_STALE,
    RefusalReason.RATE_HELD,
    RefusalReason.CURRENCY_DEPEGGED,
)
"""Why there is no rate now. Not remembered: the same id may succeed later."""


class StakeholdError(Exception):
    """The root of everything that this service raises on purpose."""


class Unauthenticated(StakeholdError):
    """It is not known who calls. ``cause`` is a word for it; neither says anything of what was shown."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class NotPermitted(StakeholdError):
    """The caller is known and may not do this. Nothing was looked up, done or remembered.

    ``verb`` says what was asked for: an RPC or a command, with the kind where that is what may not be.
    """

    def __init__(self, message: str, *, caller: str, method: str, verb: str, source_id: str = "") -> None:
        super().__init__(message)
        self.caller = caller
        self.method = method
        self.verb = verb
        self.source_id = source_id


class SourceNotPermitted(NotPermitted):
    """The caller may not act as the source that the request names; or it has to name one, and did not."""


class VerbNotPermitted(NotPermitted):
    """None of the caller's roles may use the method, or move money for such a purpose."""


@dataclass(frozen=True, slots=True)
class RefusalDetails:
    """What a refusal tells the caller. ``entry_id`` is empty where the refusal is not remembered."""

    reason: RefusalReason
    transaction_id: TransactionId
    step_index: int
    replayed: bool
    balance: WalletBalance | None
    entry_id: str
    related_transaction_id: str


class Refused(StakeholdError):
    """A transaction was refused and nothing moved. ``context`` is what the request said that explains it."""

    def __init__(self, details: RefusalDetails, context: Mapping[str, str]) -> None:
        super().__init__(f"transaction {details.transaction_id} refused: {details.reason}")
        self.details = details
        self.context = context


class NotDone(StakeholdError):
    """Nothing was done. The same id may ask again."""


class StoreUnavailable(NotDone):
    """The hot path's store could not be reached before anything was sent."""


class PartitionFenced(NotDone):
    """The partition's store is not the one that the ledger knows: it lost data, or was swapped."""

    def __init__(self, partition: int) -> None:
        super().__init__(f"partition {partition} is fenced")
        self.partition = partition


class IncarnationChanged(NotDone):
    """The store's primary is in another life than the one that the call names: it was restarted or replaced.

    ``found`` is the incarnation that there is now.
    """

    def __init__(self, found: str) -> None:
        super().__init__(f"the store's primary is another incarnation: {found}")
        self.found = found


class LedgerUnavailable(NotDone):
    """Postgres could not be reached, or did not answer in time."""


class Shortage(StrEnum):
    """What there is too little of, or what is too full. Told to callers, and counted."""

    IN_FLIGHT = "in_flight"
    SOURCE = "source"
    RATE = "rate"
    QUEUE = "queue"
    OUTBOX = "outbox"
    MEMORY = "memory"
    SUBSCRIBERS = "subscribers"


class Overloaded(NotDone):
    """There is more to do than can be done.

    ``source_id`` is told where one source has too many calls, or calls too often; ``partition`` where it is
    its outbox, or its primary's memory, that is too full.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_delay_ms: int,
        cause: Shortage = Shortage.QUEUE,
        source_id: str = "",
        partition: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_delay_ms = retry_delay_ms
        self.cause = cause
        self.source_id = source_id
        self.partition = partition


class Stopping(NotDone):
    """The server is about to end, and takes nothing new."""


class DeadlineExceeded(NotDone):
    """The caller's deadline passed while the call was still waiting to be sent."""


class OutcomeUnknown(StakeholdError):
    """A script was sent and its answer did not come, or durability could not be confirmed."""


class NotFound(StakeholdError):
    """Something that was asked for does not exist."""


class WalletNotFound(NotFound):
    """The player has no wallet in this currency, or none at all."""

    def __init__(self, player_id: str, currency: str = "") -> None:
        super().__init__(f"player {player_id} has no {currency} wallet".replace("  ", " "))
        self.player_id = player_id
        self.currency = currency


class SourceNotFound(NotFound):
    """The source was never put."""

    def __init__(self, source_id: str) -> None:
        self.source_id = briefly(source_id)
        super().__init__(f"source {self.source_id} is not known")


class BalanceNotFound(NotFound):
    """The ledger has no such version of the wallet, or none at that moment."""

    def __init__(self, message: str, *, currency: str, version: int | None) -> None:
        super().__init__(message)
        self.currency = currency
        self.version = version


class SlipNotFound(NotFound):
    """The source has opened no slip for the player under this id."""

    def __init__(self, slip_id: str) -> None:
        super().__init__(f"there is no slip {slip_id}")
        self.slip_id = slip_id


class PairUnknown(NotFound):
    """The pair was never put."""

    def __init__(self, base: str, quote: str) -> None:
        super().__init__(f"the pair {base}/{quote} is not known")
        self.base = base
        self.quote = quote


class RateNotFound(NotFound):
    """There is no rate of that id, or the pair had none at that time."""


class SubmissionNotFound(NotFound):
    """The source has submitted nothing under this id."""

    def __init__(self, submission_id: str) -> None:
        super().__init__(f"submission {submission_id} is not known")
        self.submission_id = submission_id


class RoundNotFound(NotFound):
    """Nobody has named the round, or the player's source and game have none of that id."""

    def __init__(self, game: str, round_: str) -> None:
        super().__init__(f"the player has no round {round_} of this source in game {game or '(none)'}")
        self.game = game
        self.round = round_


class ReviewNotFound(NotFound):
    """There is no review of that id."""

    def __init__(self, review_id: int) -> None:
        super().__init__(f"there is no review {review_id}")
        self.review_id = review_id


class CaseNotFound(NotFound):
    """The cashier has no case of that name."""

    def __init__(self, case_kind: str, case_id: str) -> None:
        super().__init__(f"there is no {case_kind} {case_id}")
        self.case_kind = case_kind
        self.case_id = case_id


class ProviderNotFound(NotFound):
    """No provider of that id is configured."""

    def __init__(self, provider_id: str) -> None:
        super().__init__(f"provider {provider_id} is not known")
        self.provider_id = provider_id


class SessionNotFound(NotFound):
    """No session was ever opened under the token, which is not told."""

    def __init__(self) -> None:
        super().__init__("there is no session of this token")


class FieldInvalid(StakeholdError):
    """A field of the request is malformed. ``field`` is its path in the request."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description

    def within(self, path: str) -> Self:
        """The same error, of a message that is part of a larger one."""
        self.field = f"{path}.{self.field}"
        self.args = (f"{self.field}: {self.description}",)
        return self


class CurrencyUnknown(FieldInvalid):
    """The currency is not in the registry."""

    def __init__(self, field: str, currency: str) -> None:
        super().__init__(field, "not a currency of the registry; see AdminService.ListCurrencies")
        self.currency = briefly(currency)


class PageTokenInvalid(FieldInvalid):
    """The page token is not one of this list and filter."""

    def __init__(self) -> None:
        super().__init__("page_token", "not a next_page_token of this list with these filters")


class CursorInvalid(FieldInvalid):
    """A text that is no cursor of this service."""

    def __init__(self) -> None:
        super().__init__("cursor", "must be a cursor that came with a message of EventService.Subscribe")


class QuoteInvalid(FieldInvalid):
    """A text that is no quote of this service."""

    def __init__(self) -> None:
        super().__init__("quote_id", "must be a quote that this service has given")


class QuoteMismatch(StakeholdError):
    """A quote that does not fit the exchange that names it. ``quoted`` is what it says itself."""

    def __init__(self, problem: str, quoted: Mapping[str, str]) -> None:
        super().__init__(problem)
        self.quoted = quoted


class QuoteOfAnotherPlayer(QuoteMismatch):
    """The quote was given to another player or source."""

    def __init__(self) -> None:
        super().__init__("the quote was given to another player or source", {})


class QuoteSideMismatch(QuoteMismatch):
    """The quote is for other currencies, or the other way round."""


class QuoteAmountMismatch(QuoteMismatch):
    """The quote is for other amounts."""


class CurrencyImmutable(StakeholdError):
    """What a code means cannot change, be it a currency's or a denomination's: its amounts would."""

    def __init__(self, currency: str) -> None:
        super().__init__(f"what amounts in {currency} mean cannot be changed")
        self.currency = currency


class CurrencyDisabled(StakeholdError):
    """The currency takes no new wallets."""

    def __init__(self, currency: str) -> None:
        super().__init__(f"{currency} is disabled")
        self.currency = currency


class RateUnusable(StakeholdError):
    """There is no rate that an amount in ``currency`` may be converted at now."""

    def __init__(self, message: str, *, currency: str, wallet_currency: str) -> None:
        super().__init__(message)
        self.currency = currency
        self.wallet_currency = wallet_currency


class RateUnknown(RateUnusable):
    """No rate leads from the one currency to the other."""


class RateStale(RateUnusable):
    """The rate is too old."""


class RateHeld(RateUnusable):
    """The only rate that is not too old waits to be confirmed."""


class CurrencyDepegged(RateUnusable):
    """A stablecoin that the rate is made of has left its peg."""


class RateNotHeld(StakeholdError):
    """The rate does not wait for a decision, or was decided otherwise."""

    def __init__(self, rate_id: int, state: str) -> None:
        super().__init__(f"rate {rate_id} is {state} already")
        self.rate_id = rate_id
        self.state = state


class SamePerson(StakeholdError):
    """Who pushed the rate may not confirm it: it differs too much."""

    def __init__(self, rate_id: int, pushed_by: str) -> None:
        super().__init__(f"rate {rate_id} was pushed by {pushed_by}, so that somebody else has to confirm it")
        self.rate_id = rate_id
        self.pushed_by = pushed_by


class SubmissionIdConflict(StakeholdError):
    """The source has submitted other commands under this id."""

    def __init__(self, submission_id: str) -> None:
        super().__init__(f"submission {submission_id} was accepted with other commands")
        self.submission_id = submission_id


class CursorNotInLedger(StakeholdError):
    """A subscription's cursor is of another ledger, or ahead of this one. ``cause`` is a word for which."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class SubscriberStalled(StakeholdError):
    """A subscriber took no message for too long. ``cursor`` resumes with the one that it did not take."""

    def __init__(self, cursor: str) -> None:
        super().__init__("no message was taken for too long; subscribe again from the last cursor")
        self.cursor = cursor


class ReviewResolved(StakeholdError):
    """The review was resolved by somebody else, or with other words."""

    def __init__(self, review_id: int, resolved_by: str) -> None:
        super().__init__(f"review {review_id} was resolved by {resolved_by} already")
        self.review_id = review_id
        self.resolved_by = resolved_by


class InvalidTransition(StakeholdError):
    """A cashier's case does not allow the message in its state, or the message contradicts what is known."""

    def __init__(self, case_kind: str, case_id: str, *, state: str, message: str) -> None:
        super().__init__(f'{case_kind} {case_id} is {state}, and does not allow "{message}" as it was said')
        self.case_kind = case_kind
        self.case_id = case_id
        self.state = state
        self.message = message


class CaseIdConflict(StakeholdError):
    """The id is another deposit's, withdrawal's or correction's."""

    def __init__(self, case_kind: str, case_id: str) -> None:
        super().__init__(f"{case_kind} {case_id} was opened with another content")
        self.case_kind = case_kind
        self.case_id = case_id


class ApprovalBySamePerson(StakeholdError):
    """Who asked for it, or approved it already, may not approve it."""

    def __init__(self, case_kind: str, case_id: str, person: str) -> None:
        super().__init__(f"{case_kind} {case_id} takes the approval of somebody else than {person}")
        self.case_kind = case_kind
        self.case_id = case_id
        self.person = person


class SessionConflict(StakeholdError):
    """The token is another session's."""

    def __init__(self) -> None:
        super().__init__("the token is another session's; take another one")


class SetupRefused(StakeholdError):
    """The service must not start like this. The message says what to change."""


class StoreUnsafe(SetupRefused):
    """The store's settings cannot keep an acknowledged write."""


class LedgerBroken(StakeholdError):
    """The drain of a partition cannot go on: the record is quarantined and the partition stops."""


class OutboxRecordMalformed(LedgerBroken):
    """An outbox record is not of a format that this version reads."""

    def __init__(self, stream_id: str, problem: str) -> None:
        super().__init__(f"outbox record {stream_id} cannot be read: {problem}")


class OutboxGap(LedgerBroken):
    """The outbox does not continue where the cursor stands: records are missing."""


class HistoryForked(LedgerBroken):
    """The record is of a store that had been given up when it was written: it is none of the partition's."""


class VersionGap(LedgerBroken):
    """A wallet's version does not follow the one in the ledger."""


class EntryRefused(LedgerBroken):
    """The database's own rules refuse an entry or its postings: an id used twice, a number too large."""


class TransactionIdTaken(EntryRefused):
    """The ledger has an entry under this transaction id already."""


class DriftDetected(LedgerBroken):
    """A wallet's balance in the outbox is not what the ledger's postings sum to."""


class CursorMoved(LedgerBroken):
    """The partition is another drainer's by now, or was taken over: it is not in the state that was read."""

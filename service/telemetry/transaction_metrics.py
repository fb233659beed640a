"""Transactions by kind, source and outcome: each is counted once, where the engine knows how it ended.

All ways in come together in the engine, so Batch, Stream, the inbox, the cashier and the sweeper are counted
as single calls are. Labels can't grow: kinds and outcomes are enumerations, sources are registered, and
beyond a hundred of those all others are ``other``.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter

from persistence.calls import Call, Step, StepResult
from persistence.errors import NotDone, OutcomeUnknown, RefusalDetails, RefusalReason, Refused
from persistence.transactions import Outcome

MOST_SOURCES = 100
"""With a name of their own in the metrics of one process."""
OTHER_SOURCES = "other"


class TransactionOutcome(StrEnum):
    """How a transaction ended, for its caller."""

    APPLIED = "applied"
    REPLAYED = "replayed"
    """A duplicate: it was told again what became of the first one, be it applied or refused."""
    NOTHING_TO_DO = "nothing_to_do"
    """Undoes what was undone before or was refused, or closes what is closed."""
    TOMBSTONE = "tombstone"
    """A rollback that came before its original, which will be refused."""
    CONFLICT = "conflict"
    """The id was used for something else."""
    REFUSED_FUNDS = "refused_funds"
    REFUSED_WALLET = "refused_wallet"
    """The wallet: it isn't there, is frozen, closed, at another version, or not the only one."""
    REFUSED_REFERENCE = "refused_reference"
    """What it refers to: a bet, round or session that isn't there, is over, undone, or another one."""
    REFUSED_CURRENCY = "refused_currency"
    """The currency, its rate, or the quote."""
    REFUSED_POLICY = "refused_policy"
    """The source's own rules, or the source is disabled."""
    REFUSED_SLIP = "refused_slip"
    """The state of a hold or slip."""
    REFUSED_TOGETHER = "refused_together"
    """Another step of its call was refused."""
    NOT_DONE = "not_done"
    """Certainly nothing was done: overloaded, fenced, out of time, a store or ledger that is away."""
    UNKNOWN = "unknown"
    """It may have been applied; only a retry finds out."""
    FAILED = "failed"
    """Anything else: it should not happen."""


_REASONS: Mapping[RefusalReason, TransactionOutcome] = MappingProxyType(
    {
        RefusalReason.WALLET_NOT_FOUND: TransactionOutcome.REFUSED_WALLET,
        RefusalReason.WALLET_FROZEN: TransactionOutcome.REFUSED_WALLET,
        RefusalReason.WALLET_CLOSED: TransactionOutcome.REFUSED_WALLET,
        RefusalReason.WALLET_AMBIGUOUS: TransactionOutcome.REFUSED_WALLET,
        RefusalReason.BALANCE_OVERFLOW: TransactionOutcome.REFUSED_WALLET,
        RefusalReason.VERSION_MISMATCH: TransactionOutcome.REFUSED_WALLET,
        RefusalReason.INSUFFICIENT_FUNDS: TransactionOutcome.REFUSED_FUNDS,
        RefusalReason.TRANSACTION_ID_CONFLICT: TransactionOutcome.CONFLICT,
        RefusalReason.REFERENCE_NOT_FOUND: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.REFERENCE_MISMATCH: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.AMOUNT_MISMATCH: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.NOT_REVERSIBLE: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.TRANSACTION_ROLLED_BACK: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.BET_ROLLED_BACK: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.BET_REFUSED: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.BET_SETTLED: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.ROUND_CLOSED: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.ZERO_AMOUNT_REFUSED: TransactionOutcome.REFUSED_POLICY,
        RefusalReason.SOURCE_DISABLED: TransactionOutcome.REFUSED_POLICY,
        RefusalReason.CURRENCY_DISABLED: TransactionOutcome.REFUSED_CURRENCY,
        RefusalReason.AMOUNT_TOO_SMALL: TransactionOutcome.REFUSED_CURRENCY,
        RefusalReason.RATE_UNKNOWN: TransactionOutcome.REFUSED_CURRENCY,
        RefusalReason.RATE_STALE: TransactionOutcome.REFUSED_CURRENCY,
        RefusalReason.RATE_HELD: TransactionOutcome.REFUSED_CURRENCY,
        RefusalReason.CURRENCY_DEPEGGED: TransactionOutcome.REFUSED_CURRENCY,
        RefusalReason.QUOTE_EXPIRED: TransactionOutcome.REFUSED_CURRENCY,
        RefusalReason.QUOTE_USED: TransactionOutcome.REFUSED_CURRENCY,
        RefusalReason.HOLD_CLOSED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.HOLD_RELEASED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.HOLD_EXPIRED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.HOLD_EXCEEDED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.HOLD_NOT_DUE: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.SLIP_NOT_PLACED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.SLIP_SETTLED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.SLIP_NOT_SETTLED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.SLIP_VOIDED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.SLIP_NOT_VOIDED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.SLIP_CASHED_OUT: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.STAKE_EXCEEDED: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.SLIP_MOVED_ON: TransactionOutcome.REFUSED_SLIP,
        RefusalReason.SESSION_UNKNOWN: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.SESSION_OVER: TransactionOutcome.REFUSED_REFERENCE,
        RefusalReason.SESSION_MISMATCH: TransactionOutcome.REFUSED_REFERENCE,
    }
)

_OUTCOMES: Mapping[Outcome, TransactionOutcome] = MappingProxyType(
    {
        Outcome.APPLIED: TransactionOutcome.APPLIED,
        Outcome.NO_ORIGINAL: TransactionOutcome.TOMBSTONE,
        Outcome.ALREADY_ROLLED_BACK: TransactionOutcome.NOTHING_TO_DO,
        Outcome.ORIGINAL_REFUSED: TransactionOutcome.NOTHING_TO_DO,
        Outcome.ALREADY_CLOSED: TransactionOutcome.NOTHING_TO_DO,
    }
)


_WATCHED = (
    TransactionOutcome.APPLIED,
    TransactionOutcome.REPLAYED,
    TransactionOutcome.CONFLICT,
    TransactionOutcome.TOMBSTONE,
    TransactionOutcome.UNKNOWN,
)
"""What alerts are about begins at 0 for a kind and source: of what begins higher, no increase is seen."""


class TransactionMetrics:
    """Of one process. ``count`` is what the engine calls at the end of each call."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(
            "stakehold_transactions",
            "Transactions that were asked for, by what became of them; each step of a call is one.",
            ("kind", "source", "outcome"),
            registry=registry,
        )
        self._sources: set[str] = set()
        self._children: dict[tuple[str, str, TransactionOutcome], Counter] = {}

    def count(self, call: Call, end: tuple[StepResult, ...] | BaseException) -> None:
        """Counts each transaction of a call once."""
        source_id = call.source.source_id
        if isinstance(end, tuple):
            for step, result in zip(call.steps, end, strict=True):
                self._count(step, source_id, _outcome_of(result))
        else:
            for index, step in enumerate(call.steps):
                self._count(step, source_id, _outcome_of_error(end, index))

    def _count(self, step: Step, source_id: str, outcome: TransactionOutcome) -> None:
        key = (step.kind or step.operation, source_id, outcome)
        child = self._children.get(key)
        if child is None:
            source = self._source_label(source_id)
            for watched in _WATCHED:
                self._counter.labels(key[0].value, source, watched.value)
            child = self._counter.labels(key[0].value, source, outcome.value)
            if source == source_id:  # what is kept is bounded as the labels are
                self._children[key] = child
        child.inc()

    def _source_label(self, source_id: str) -> str:
        if source_id not in self._sources and len(self._sources) < MOST_SOURCES:
            self._sources.add(source_id)
        return source_id if source_id in self._sources else OTHER_SOURCES


def _outcome_of(result: StepResult) -> TransactionOutcome:
    if result.replayed:
        return TransactionOutcome.REPLAYED
    return _OUTCOMES.get(result.outcome, TransactionOutcome.FAILED)


def _outcome_of_error(error: BaseException, index: int) -> TransactionOutcome:
    if isinstance(error, Refused):
        return _outcome_of_refusal(error.details, index)
    if isinstance(error, NotDone):
        return TransactionOutcome.NOT_DONE
    if isinstance(error, OutcomeUnknown) or not isinstance(error, Exception):
        return TransactionOutcome.UNKNOWN  # the script of who is cancelled may have been sent
    return TransactionOutcome.FAILED


def _outcome_of_refusal(details: RefusalDetails, index: int) -> TransactionOutcome:
    if details.step_index != index:
        return TransactionOutcome.REFUSED_TOGETHER
    if details.replayed:
        return TransactionOutcome.REPLAYED
    return _REASONS.get(details.reason, TransactionOutcome.FAILED)

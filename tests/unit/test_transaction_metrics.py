"""How transactions are counted: what each end is called, and that labels can't grow."""

import pytest
from prometheus_client import CollectorRegistry

from persistence.calls import Call, Source, Step, StepResult
from persistence.errors import (
    OutcomeUnknown,
    Overloaded,
    RefusalDetails,
    RefusalReason,
    Refused,
    StoreUnavailable,
)
from persistence.transactions import (
    CurrencyCode,
    Operation,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
)
from service.telemetry.transaction_metrics import MOST_SOURCES, TransactionMetrics, TransactionOutcome

EUR = CurrencyCode("EUR")
BET = Step(Operation.DEBIT, TransactionKind.BET, TransactionId("b"), EUR, 1)
WIN = Step(Operation.CREDIT, TransactionKind.WIN, TransactionId("w"), EUR, 1)


def call(*steps: Step, source: str = "games") -> Call:
    return Call(PlayerId("ada"), Source(SourceId(source)), steps or (BET,))


def result(outcome: Outcome = Outcome.APPLIED, *, replayed: bool = False) -> StepResult:
    return StepResult(TransactionId("b"), outcome, replayed, "0-1-0-0", 0, False, 0, None, None)


def refused(reason: RefusalReason, *, index: int = 0, replayed: bool = False) -> Refused:
    return Refused(RefusalDetails(reason, TransactionId("b"), index, replayed, None, "", ""), {})


class Counted:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = TransactionMetrics(self.registry)

    def samples(self) -> dict[tuple[str, str, str], float]:
        """By kind, source and outcome, those that have happened."""
        return {labels: value for labels, value in self.all_samples().items() if value}

    def all_samples(self) -> dict[tuple[str, str, str], float]:
        return {
            (sample.labels["kind"], sample.labels["source"], sample.labels["outcome"]): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    def outcome_of(self, end: StepResult | BaseException) -> str:
        """What the one transaction was counted as."""
        self.metrics.count(call(), (end,) if isinstance(end, StepResult) else end)
        ((kind, source, outcome),) = self.samples()
        assert (kind, source) == ("bet", "games")
        return outcome


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (result(), "applied"),
        (result(replayed=True), "replayed"),
        (result(Outcome.NO_ORIGINAL), "tombstone"),
        (result(Outcome.ALREADY_ROLLED_BACK), "nothing_to_do"),
        (refused(RefusalReason.TRANSACTION_ID_CONFLICT), "conflict"),
        (refused(RefusalReason.INSUFFICIENT_FUNDS), "refused_funds"),
        (refused(RefusalReason.INSUFFICIENT_FUNDS, replayed=True), "replayed"),
        (refused(RefusalReason.WALLET_FROZEN), "refused_wallet"),
        (refused(RefusalReason.RATE_STALE), "refused_currency"),
        (Overloaded("", retry_delay_ms=1), "not_done"),
        (StoreUnavailable(""), "not_done"),
        (OutcomeUnknown(""), "unknown"),
        (KeyboardInterrupt(), "unknown"),
        (ValueError(), "failed"),
    ],
)
def test_each_end_of_a_transaction_has_one_name(end: StepResult | BaseException, expected: str) -> None:
    assert Counted().outcome_of(end) == expected


def test_every_reason_to_refuse_and_every_outcome_is_told_from_a_bug() -> None:
    for reason in RefusalReason:
        assert Counted().outcome_of(refused(reason)) != TransactionOutcome.FAILED, reason
    for outcome in Outcome:
        assert Counted().outcome_of(result(outcome)) != TransactionOutcome.FAILED, outcome


def test_each_step_of_a_call_is_counted_once() -> None:
    counted = Counted()

    counted.metrics.count(call(BET, WIN), (result(), result(replayed=True)))
    counted.metrics.count(call(BET, WIN), refused(RefusalReason.INSUFFICIENT_FUNDS))

    assert counted.samples() == {
        ("bet", "games", "applied"): 1,
        ("win", "games", "replayed"): 1,
        ("bet", "games", "refused_funds"): 1,
        ("win", "games", "refused_together"): 1,
    }


def test_what_takes_its_kind_from_its_slip_is_named_by_its_operation() -> None:
    counted = Counted()

    counted.metrics.count(call(Step(Operation.SETTLE, None, TransactionId("s"), None, None)), (result(),))

    assert counted.samples() == {("settle", "games", "applied"): 1}


def test_labels_are_bounded_however_many_sources_there_are() -> None:
    counted = Counted()

    for number in range(10 * MOST_SOURCES):
        asked = call(source=f"source-{number}")
        counted.metrics.count(asked, (result(),))
        counted.metrics.count(asked, refused(RefusalReason.WALLET_FROZEN))

    samples = counted.samples()
    assert len(samples) == 2 * (MOST_SOURCES + 1)
    assert len(counted.all_samples()) == 6 * (MOST_SOURCES + 1)
    assert samples["bet", "other", "applied"] == 9 * MOST_SOURCES
    assert sum(samples.values()) == 20 * MOST_SOURCES


def test_what_alerts_are_about_begins_at_zero() -> None:
    counted = Counted()

    counted.metrics.count(call(), (result(),))

    outcomes = {outcome for (_, _, outcome), value in counted.all_samples().items() if not value}
    assert outcomes == {"replayed", "conflict", "tombstone", "unknown"}

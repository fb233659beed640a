"""LedgerService's messages: every word has its counterpart, and what is malformed is refused by its field."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from fx.currencies import Currency, CurrencyKind
from fx.denominations import Denomination
from persistence.audit.findings import AuditSummary, Finding, FindingKind
from persistence.calls import Source
from persistence.errors import CurrencyUnknown, FieldInvalid
from persistence.postgres.reading.balances import TrialBalanceLine
from persistence.postgres.reading.entries import RecordedEntry
from persistence.transactions import CurrencyCode, EntryType, Operation, TransactionKind
from service.conversions.ledger import (
    ENTRY_TYPES,
    FINDING_KINDS,
    audit_message,
    entry_message,
    read_entry_filter,
    read_page_size,
    read_point,
    read_statement_period,
    trial_balance_message,
)
from service.conversions.ledger_titles import KIND_TITLES, title_of
from service.registry import Registry
from stakehold.v1 import ledger_service_pb2 as pb
from stakehold.v1 import transaction_pb2
from tests.unit.test_entry_checks import bet, chain

EUR = Currency("EUR", "Euro", 2, CurrencyKind.FIAT)
MOMENT = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)


class _Store:
    async def read(self) -> tuple[Mapping[str, Currency], Mapping[str, Denomination], Mapping[str, Source]]:
        return {"EUR": EUR}, {}, {}

    async def put_currency(self, currency: Currency) -> bool:
        raise NotImplementedError

    async def put_denomination(self, denomination: Denomination) -> bool:
        raise NotImplementedError

    async def put_source(self, source: Source) -> bool:
        raise NotImplementedError


@pytest.fixture
async def registry() -> Registry:
    made = Registry(_Store())
    await made.refresh()
    return made


def recorded(**changes: object) -> RecordedEntry:
    """A bet of 0.10 EUR, changed."""
    (stored,) = chain(1)
    chained = replace(stored.chained, entry=replace(bet(0), **changes))  # type: ignore[arg-type]
    return RecordedEntry(chained, stored.legs, stored.previous_hash, stored.hash, MOMENT, "")


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "Bet Placed"),
        ({"kind": TransactionKind.WIN, "operation": Operation.CREDIT}, "Win Settled"),
        ({"operation": Operation.ROLLBACK}, "Bet Placed (rolled back)"),
        ({"type": EntryType.REFUSED}, "Bet Placed (refused)"),
        (
            {"type": EntryType.REFUSED, "operation": Operation.ROLLBACK, "kind": TransactionKind.ROLLBACK},
            "Transaction Rolled Back (refused)",
        ),
        ({"type": EntryType.NO_MOVEMENT, "operation": Operation.ROLLBACK}, "Rollback Without Movement"),
        ({"type": EntryType.TOMBSTONE, "operation": None, "kind": None}, "Rollback Came First"),
        (
            {
                "type": EntryType.ROUND_CLOSED,
                "operation": Operation.CLOSE_ROUND,
                "kind": TransactionKind.ROUND_CLOSING,
            },
            "Round Closed",
        ),
        ({"type": EntryType.WALLET_OPENED, "operation": None, "kind": None}, "Wallet Opened"),
        ({"type": EntryType.STATUS_CHANGED, "operation": None, "kind": None}, "Wallet Status Set"),
    ],
)
def test_an_entry_is_called_what_people_call_it(changes: dict[str, object], title: str) -> None:
    assert title_of(recorded(**changes).chained.entry) == title


def test_every_word_of_the_ledger_has_its_counterpart_in_the_api() -> None:
    assert set(KIND_TITLES) == set(TransactionKind)
    assert set(ENTRY_TYPES) == set(EntryType)
    assert set(FINDING_KINDS) == set(FindingKind)
    assert sorted(ENTRY_TYPES.values()) == sorted(pb.EntryType.values())[1:]
    assert sorted(FINDING_KINDS.values()) == sorted(pb.FindingKind.values())[1:]
    for kind, number in FINDING_KINDS.items():
        assert pb.FindingKind.Name(number) == f"FINDING_KIND_{kind.name}"


def test_an_entry_shows_all_that_the_ledger_knows(registry: Registry) -> None:
    message = entry_message(
        recorded(round="r1", game="slots", occurred_ms=1_500, metadata={"table": "7"}, late=True), registry
    )

    assert (message.entry_id, message.title, message.kind) == (
        "3-1-0-0",
        "Bet Placed",
        transaction_pb2.TRANSACTION_KIND_BET,
    )
    assert (message.amount.amount, message.amount.currency_code, message.currency_code) == (
        "0.10",
        "EUR",
        "EUR",
    )
    assert (message.version, message.change.cash, message.balance_after.cash) == (2, "-0.10", "1.00")
    assert [(leg.owner_kind, leg.owner_id, leg.bucket, leg.amount.amount) for leg in message.postings] == [
        ("player", "anna", "cash", "-0.10"),
        ("source", "games", "settlement", "0.10"),
    ]
    assert (message.round_id, message.game_id, dict(message.metadata), message.late) == (
        "r1",
        "slots",
        {"table": "7"},
        True,
    )
    assert message.occurred_time.ToMilliseconds() == 1_500
    assert message.booked_time.ToMilliseconds() == 1_000
    assert message.recorded_time.ToDatetime(UTC) == MOMENT
    assert len(message.hash) == len(message.previous_hash) == 32


def test_a_rollback_is_of_the_kind_rollback_whatever_it_undid(registry: Registry) -> None:
    message = entry_message(recorded(operation=Operation.ROLLBACK), registry)

    assert message.kind == transaction_pb2.TRANSACTION_KIND_ROLLBACK
    assert message.title == "Bet Placed (rolled back)"


def test_a_record_without_money_shows_none(registry: Registry) -> None:
    message = entry_message(
        recorded(
            type=EntryType.TOMBSTONE,
            operation=None,
            kind=None,
            currency=None,
            amount=None,
            version=None,
            after=None,
        ),
        registry,
    )

    assert not message.HasField("amount")
    assert not message.HasField("change")
    assert not message.HasField("balance_after")
    assert (message.version, message.kind) == (0, transaction_pb2.TRANSACTION_KIND_UNSPECIFIED)


def test_a_refusal_says_why(registry: Registry) -> None:
    message = entry_message(
        recorded(type=EntryType.REFUSED, version=None, outcome=None, reason="INSUFFICIENT_FUNDS"), registry
    )

    assert message.refusal_reason != 0
    assert message.outcome == transaction_pb2.OUTCOME_UNSPECIFIED


def test_bounds_of_a_period_are_rounded_up_to_what_can_be_booked(registry: Registry) -> None:
    nanosecond_later = Timestamp(seconds=100, nanos=1)
    request = pb.GetStatementRequest(
        player_id="anna", currency_code="EUR", start_time=nanosecond_later, end_time=Timestamp(seconds=101)
    )

    period = read_statement_period(request, registry)

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert period.start == epoch + timedelta(seconds=100, microseconds=1)
    assert period.end == epoch + timedelta(seconds=101)


def test_a_point_includes_its_moment() -> None:
    end, version = read_point(pb.GetBalanceAtRequest(time=Timestamp(seconds=100, nanos=999)))

    assert end == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=100, microseconds=1)
    assert version is None
    assert read_point(pb.GetBalanceAtRequest(version=3)) == (None, 3)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListEntriesRequest(player_id="ä"), "player_id"),
        (pb.ListEntriesRequest(round_id="r" * 129), "round_id"),
        (pb.ListEntriesRequest(source_id="a\nb"), "source_id"),
        (
            pb.ListEntriesRequest(
                kinds=[
                    transaction_pb2.TRANSACTION_KIND_BET,
                    transaction_pb2.TRANSACTION_KIND_UNSPECIFIED,
                ]
            ),
            "kinds[1]",
        ),
        (pb.ListEntriesRequest(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1)), "end_time"),
        (pb.ListEntriesRequest(start_time=Timestamp(seconds=-(10**13))), "start_time"),
        (pb.ListEntriesRequest(end_time=Timestamp(seconds=253_402_300_799)), "end_time"),
        (pb.ListEntriesRequest(end_time=Timestamp(nanos=-1)), "end_time"),
    ],
)
def test_a_malformed_filter_is_refused_by_its_field(
    registry: Registry, request_: pb.ListEntriesRequest, field: str
) -> None:
    with pytest.raises(FieldInvalid) as refused:
        read_entry_filter(request_, registry)

    assert refused.value.field == field


def test_the_order_of_kinds_does_not_make_another_filter(registry: Registry) -> None:
    bet_, win = transaction_pb2.TRANSACTION_KIND_BET, transaction_pb2.TRANSACTION_KIND_WIN

    one = read_entry_filter(pb.ListEntriesRequest(kinds=[bet_, win]), registry)
    other = read_entry_filter(pb.ListEntriesRequest(kinds=[win, bet_, win]), registry)

    assert one == other


def test_an_unknown_currency_is_refused(registry: Registry) -> None:
    with pytest.raises(CurrencyUnknown):
        read_entry_filter(pb.ListEntriesRequest(currency_code="XXX"), registry)
    with pytest.raises(CurrencyUnknown):
        read_statement_period(pb.GetStatementRequest(player_id="anna"), registry)


@pytest.mark.parametrize(("asked", "given"), [(0, 100), (1, 1), (1000, 1000)])
def test_a_page_has_a_hundred_lines_unless_asked_otherwise(asked: int, given: int) -> None:
    assert read_page_size(asked) == given


@pytest.mark.parametrize("asked", [-1, 1001])
def test_a_page_of_no_sensible_size_is_refused(asked: int) -> None:
    with pytest.raises(FieldInvalid):
        read_page_size(asked)


@pytest.mark.parametrize("request_", [pb.GetBalanceAtRequest(), pb.GetBalanceAtRequest(version=0)])
def test_a_point_that_is_none_is_refused(request_: pb.GetBalanceAtRequest) -> None:
    with pytest.raises(FieldInvalid):
        read_point(request_)


def test_a_trial_balance_shows_what_does_not_sum_to_zero(registry: Registry) -> None:
    euro = CurrencyCode("EUR")
    lines = [
        TrialBalanceLine(euro, "player", "", "cash", 1_000),
        TrialBalanceLine(euro, "source", "games", "settlement", -999),
    ]

    message = trial_balance_message(lines, registry)

    assert [line.balance.amount for line in message.lines] == ["10.00", "-9.99"]
    assert [(total.currency_code, total.amount) for total in message.totals] == [("EUR", "0.01")]


def test_findings_and_summary_are_events_of_their_own() -> None:
    finding = audit_message(Finding(FindingKind.DRIFT, 3, "why", "3-1-0-0", "anna", "EUR"))
    summary = audit_message(AuditSummary(5, 4, 3, 2, 1))

    assert finding.WhichOneof("event") == "finding"
    assert (finding.finding.kind, finding.finding.partition, finding.finding.description) == (
        pb.FINDING_KIND_DRIFT,
        3,
        "why",
    )
    counts = summary.summary
    assert (counts.entry_count, counts.posting_count, counts.wallet_count) == (5, 4, 3)
    assert (counts.finding_count, counts.undrained_wallet_count) == (2, 1)

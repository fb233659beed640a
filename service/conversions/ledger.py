"""Between LedgerService's messages and what the ledger knows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from fx.amounts import format_amount
from persistence.audit.findings import AuditSummary, Finding, FindingKind
from persistence.chart_of_accounts import Leg
from persistence.errors import FieldInvalid
from persistence.postgres.reading.balances import PastBalance, TrialBalanceLine
from persistence.postgres.reading.entries import RecordedEntry
from persistence.postgres.reading.entry_lists import EntryFilter, EntryPage
from persistence.postgres.reading.statements import StatementPage, StatementPeriod
from persistence.transactions import Buckets, CurrencyCode, EntryType, Operation, TransactionKind
from service.conversions.amounts import money_message
from service.conversions.fields import read_optional_id, read_player_id, read_version
from service.conversions.ledger_titles import title_of
from service.conversions.rate_locks import conversion_message
from service.conversions.results import KINDS, OUTCOMES, balance_message
from service.conversions.slips import slip_message
from service.conversions.times import timestamp_of_ms
from service.registry import CurrencyScales, Registry
from stakehold.v1 import access_service_pb2, error_reason_pb2, transaction_pb2
from stakehold.v1 import ledger_service_pb2 as pb

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1_S = -62_135_596_800
_YEAR_10000_S = 253_402_300_800

ENTRY_TYPES = {
    EntryType.APPLIED: pb.ENTRY_TYPE_APPLIED,
    EntryType.REFUSED: pb.ENTRY_TYPE_REFUSED,
    EntryType.NO_MOVEMENT: pb.ENTRY_TYPE_NO_MOVEMENT,
    EntryType.TOMBSTONE: pb.ENTRY_TYPE_TOMBSTONE,
    EntryType.WALLET_OPENED: pb.ENTRY_TYPE_WALLET_OPENED,
    EntryType.STATUS_CHANGED: pb.ENTRY_TYPE_STATUS_CHANGED,
    EntryType.ROUND_CLOSED: pb.ENTRY_TYPE_ROUND_CLOSED,
}
FINDING_KINDS = {
    FindingKind.CHAIN_BROKEN: pb.FINDING_KIND_CHAIN_BROKEN,
    FindingKind.UNBALANCED: pb.FINDING_KIND_UNBALANCED,
    FindingKind.POSTING_MISMATCH: pb.FINDING_KIND_POSTING_MISMATCH,
    FindingKind.VERSION_GAP: pb.FINDING_KIND_VERSION_GAP,
    FindingKind.BALANCE_MISMATCH: pb.FINDING_KIND_BALANCE_MISMATCH,
    FindingKind.DRIFT: pb.FINDING_KIND_DRIFT,
    FindingKind.ORPHAN: pb.FINDING_KIND_ORPHAN,
    FindingKind.CURSOR_MISMATCH: pb.FINDING_KIND_CURSOR_MISMATCH,
    FindingKind.QUARANTINED: pb.FINDING_KIND_QUARANTINED,
    FindingKind.ACCESS_LOG_BROKEN: pb.FINDING_KIND_ACCESS_LOG_BROKEN,
}
_KINDS_BY_NUMBER = {number: kind for kind, number in KINDS.items()}


def read_entry_filter(request: pb.ListEntriesRequest, registry: Registry) -> EntryFilter:
    start, end = read_period(request)
    if request.currency_code:
        registry.currency(request.currency_code, "currency_code")
    return EntryFilter(
        player_id=read_optional_id(request.player_id, "player_id"),
        currency=request.currency_code,
        round_id=read_optional_id(request.round_id, "round_id"),
        source_id=read_optional_id(request.source_id, "source_id"),
        kinds=read_kinds(request.kinds),
        start=start,
        end=end,
    )


def read_statement_period(request: pb.GetStatementRequest, registry: Registry) -> StatementPeriod:
    start, end = read_period(request)
    return StatementPeriod(
        read_player_id(request.player_id), read_currency_code(request.currency_code, registry), start, end
    )


def read_kinds(numbers: Iterable[int]) -> tuple[TransactionKind, ...]:
    return tuple(sorted({_read_kind(kind, f"kinds[{index}]") for index, kind in enumerate(numbers)}))


def read_currency_code(code: str, registry: Registry) -> CurrencyCode:
    return CurrencyCode(registry.currency(code, "currency_code").code)


def read_page_size(page_size: int) -> int:
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise FieldInvalid("page_size", f"must be 0 to {MAX_PAGE_SIZE}")
    return page_size or DEFAULT_PAGE_SIZE


def read_point(request: pb.GetBalanceAtRequest) -> tuple[datetime | None, int | None]:
    """The moment before which, or the version: one of them. A time is included, to the microsecond."""
    match request.WhichOneof("point"):
        case "time":
            return _read_time(request.time, "time") + timedelta(microseconds=1), None
        case "version":
            return None, read_version(request.version, "version")
        case None:
            raise FieldInvalid("point", "must be a time or a version")


def entry_page_message(page: EntryPage, scales: CurrencyScales) -> pb.ListEntriesResponse:
    entries = [entry_message(entry, scales) for entry in page.entries]
    return pb.ListEntriesResponse(entries=entries, next_page_token=page.next_page_token)


def currencies_of(recorded: RecordedEntry) -> set[str]:
    """Those whose scales its message needs."""
    entry = recorded.chained.entry
    codes = {str(leg.account.currency) for leg in recorded.legs}
    if entry.currency:
        codes.add(entry.currency)
    if entry.conversion:
        codes.add(entry.conversion.lock.currency)
    return codes


def entry_message(recorded: RecordedEntry, scales: CurrencyScales) -> pb.Entry:
    chained = recorded.chained
    entry = chained.entry
    kind = TransactionKind.ROLLBACK if entry.operation is Operation.ROLLBACK else entry.kind
    message = pb.Entry(
        entry_id=str(chained.entry_id),
        entry_type=ENTRY_TYPES[entry.type],
        title=title_of(entry),
        player_id=chained.player,
        source_id=entry.source,
        transaction_id=entry.transaction_id,
        kind=KINDS[kind] if kind else transaction_pb2.TRANSACTION_KIND_UNSPECIFIED,
        version=entry.version or 0,
        round_id=entry.round,
        game_id=entry.game,
        reference_transaction_id=entry.reference,
        late=entry.late,
        booked_time=timestamp_of_ms(chained.booked_ms),
        recorded_time=_timestamp(recorded.recorded_time),
        metadata=entry.metadata,
        postings=[_posting_message(leg, scales) for leg in recorded.legs],
        previous_hash=recorded.previous_hash,
        hash=recorded.hash,
        rolled_back_by_transaction_id=recorded.rolled_back_by,
        currency_code=entry.currency or "",
    )
    if entry.outcome is not None:
        message.outcome = OUTCOMES[entry.outcome]
    if entry.reason:
        message.refusal_reason = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{entry.reason}")
    if entry.occurred_ms is not None:
        message.occurred_time.CopyFrom(timestamp_of_ms(entry.occurred_ms))
    if entry.currency is not None:
        scale = scales.scale_of(entry.currency)
        if entry.amount is not None:
            message.amount.CopyFrom(money_message(entry.amount, entry.currency, scales))
        if entry.version is not None:
            message.change.CopyFrom(_bucket_amounts(entry.change, scale))
        if entry.after is not None:
            message.balance_after.CopyFrom(_bucket_amounts(entry.after, scale))
    if entry.conversion is not None:
        message.conversion.CopyFrom(conversion_message(entry.conversion, entry.amount or 0, scales))
    if entry.slip is not None:
        message.slip.CopyFrom(slip_message(entry.slip, scales))
    return message


def statement_message(
    page: StatementPage, period: StatementPeriod, scales: CurrencyScales
) -> pb.GetStatementResponse:
    scale = scales.scale_of(period.currency)
    return pb.GetStatementResponse(
        player_id=period.player_id,
        currency_code=period.currency,
        opening_balance=format_amount(page.opening_balance, scale),
        lines=[_statement_line(line, scale, scales) for line in page.lines],
        closing_balance=format_amount(page.closing_balance, scale),
        next_page_token=page.next_page_token,
    )


def past_balance_message(past: PastBalance, scales: CurrencyScales) -> pb.GetBalanceAtResponse:
    return pb.GetBalanceAtResponse(
        balance=balance_message(past.balance, scales), booked_time=_timestamp(past.booked_time)
    )


def trial_balance_message(
    lines: Sequence[TrialBalanceLine], scales: CurrencyScales
) -> pb.GetTrialBalanceResponse:
    totals: defaultdict[CurrencyCode, int] = defaultdict(int)
    for line in lines:
        totals[line.currency] += line.balance
    return pb.GetTrialBalanceResponse(
        lines=[
            pb.TrialBalanceLine(
                owner_kind=line.owner_kind,
                owner_id=line.owner_id,
                bucket=line.bucket,
                balance=money_message(line.balance, line.currency, scales),
            )
            for line in lines
        ],
        totals=[money_message(total, currency, scales) for currency, total in totals.items()],
    )


def audit_message(event: Finding | AuditSummary) -> pb.AuditResponse:
    match event:
        case Finding():
            return pb.AuditResponse(
                finding=pb.Finding(
                    kind=FINDING_KINDS[event.kind],
                    partition=event.partition,
                    entry_id=event.entry_id,
                    player_id=event.player_id,
                    currency_code=event.currency,
                    description=event.description,
                )
            )
        case AuditSummary():
            return pb.AuditResponse(
                summary=pb.AuditSummary(
                    entry_count=event.entry_count,
                    posting_count=event.posting_count,
                    wallet_count=event.wallet_count,
                    finding_count=event.finding_count,
                    undrained_wallet_count=event.undrained_wallet_count,
                )
            )


def read_period(
    request: pb.ListEntriesRequest | pb.GetStatementRequest | access_service_pb2.ListAccessRecordsRequest,
) -> tuple[datetime | None, datetime | None]:
    """The ledger's times have no more than microseconds, so that rounding a bound up changes nothing."""
    start = _read_time(request.start_time, "start_time", up=True) if request.HasField("start_time") else None
    end = _read_time(request.end_time, "end_time", up=True) if request.HasField("end_time") else None
    if start is not None and end is not None and end < start:
        raise FieldInvalid("end_time", "must not be before start_time")
    return start, end


def _read_time(timestamp: Timestamp, field: str, *, up: bool = False) -> datetime:
    """A moment in whole microseconds; nanoseconds are cut off, or rounded up. The last second of the last
    year that a calendar has is left out, so that a microsecond can be added.
    """
    in_range = _YEAR_1_S <= timestamp.seconds < _YEAR_10000_S - 1
    if not in_range or not 0 <= timestamp.nanos < 1_000_000_000:
        raise FieldInvalid(field, "must be a time of the years 1 to 9999")
    microseconds = -(-timestamp.nanos // 1000) if up else timestamp.nanos // 1000
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=microseconds)


def _read_kind(number: int, field: str) -> TransactionKind:
    for known, kind in _KINDS_BY_NUMBER.items():
        if known == number:
            return kind
    raise FieldInvalid(field, "must be one of its named values")


def _timestamp(time: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _statement_line(line: RecordedEntry, scale: int, scales: CurrencyScales) -> pb.StatementLine:
    entry = line.chained.entry
    assert entry.after is not None
    return pb.StatementLine(
        entry=entry_message(line, scales),
        change=format_amount(entry.change.total(), scale),
        running_balance=format_amount(entry.after.total(), scale),
    )


def _posting_message(leg: Leg, scales: CurrencyScales) -> pb.Posting:
    account = leg.account
    return pb.Posting(
        owner_kind=account.owner_kind,
        owner_id=account.owner_id,
        bucket=account.bucket,
        amount=money_message(leg.amount, account.currency, scales),
    )


def _bucket_amounts(buckets: Buckets, scale: int) -> pb.BucketAmounts:
    return pb.BucketAmounts(
        cash=format_amount(buckets.cash, scale),
        bonus=format_amount(buckets.bonus, scale),
        held=format_amount(buckets.held, scale),
        receivable=format_amount(buckets.receivable, scale),
    )

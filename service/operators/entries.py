"""The ledger's entries, and a wallet's statement made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from service.operators.cells import Column, number_of
from service.operators.office import Office
from service.operators.paging import Page, Paged
from service.operators.reports import Dossier, Listing
from stakehold.v1 import ledger_service_pb2 as pb
from stakehold.v1 import transaction_pb2
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub

KINDS = transaction_pb2.TransactionKind.DESCRIPTOR


def _entry_columns(path: str, table: frozenset[str]) -> list[Column]:
    """Columns of an entry that is found under ``path``, those of ``table`` on screens, too."""

    def column(name: str, field: str = "", *, is_number: bool = False) -> Column:
        return Column(name, path + (field or name), is_number=is_number, in_table=name in table)

    buckets = ("cash", "bonus", "held", "receivable")
    return [
        column("booked_time"),
        column("title"),
        column("player_id"),
        column("source_id"),
        column("transaction_id"),
        column("amount", "amount.amount", is_number=True),
        column("currency_code"),
        *(column(f"change_{bucket}", f"change.{bucket}", is_number=True) for bucket in buckets),
        *(column(f"{bucket}_after", f"balance_after.{bucket}", is_number=True) for bucket in buckets),
        column("version", is_number=True),
        column("entry_type"),
        column("kind"),
        column("outcome"),
        column("refusal_reason"),
        column("round_id"),
        column("game_id"),
        column("reference_transaction_id"),
        column("rolled_back_by_transaction_id"),
        column("late"),
        column("slip_id", "slip.slip_id"),
        column("requested_amount", "conversion.requested.amount", is_number=True),
        column("requested_currency_code", "conversion.requested.currency_code"),
        column("rate", "conversion.rate", is_number=True),
        column("metadata"),
        column("occurred_time"),
        column("recorded_time"),
        column("entry_id"),
        column("hash"),
    ]


_ENTRY = _entry_columns(
    "",
    frozenset(
        {
            "booked_time",
            "title",
            "player_id",
            "source_id",
            "transaction_id",
            "amount",
            "currency_code",
            "refusal_reason",
            "round_id",
        }
    ),
)
_LINE = [
    Column("line", lambda line: "ENTRY" if line.entry.entry_id else "BALANCE", in_table=False),
    *_entry_columns("entry.", frozenset({"booked_time", "title", "source_id", "transaction_id"})),
    Column("change", is_number=True),
    Column("running_balance", is_number=True),
]


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """What is not empty must hold; times are of booking, the end excluded."""

    player_id: str = ""
    currency_code: str = ""
    round_id: str = ""
    source_id: str = ""
    kinds: Sequence[str] = ()
    start: datetime | None = None
    end: datetime | None = None


def list_entries(office: Office, wanted: EntryFilter, *, limit: int | None) -> Listing:
    """Oldest first."""
    ledger = LedgerServiceStub(office.channel)

    def fetch(size: int, token: str) -> Page[pb.Entry]:
        request = pb.ListEntriesRequest(
            player_id=wanted.player_id,
            currency_code=wanted.currency_code,
            round_id=wanted.round_id,
            source_id=wanted.source_id,
            kinds=[
                transaction_pb2.TransactionKind.ValueType(number_of(KINDS, kind)) for kind in wanted.kinds
            ],
            start_time=_moment(wanted.start),
            end_time=_moment(wanted.end),
            page_size=size,
            page_token=token,
        )
        answer = office.ask(ledger.ListEntries, request)
        return Page(answer.entries, answer.next_page_token)

    return Listing("entries", "Entries", _ENTRY, Paged(fetch, limit))


def draw_statement(
    office: Office,
    player_id: str,
    currency_code: str,
    *,
    start: datetime | None,
    end: datetime | None,
    limit: int | None,
) -> Dossier:
    """Opening balance, lines, closing balance. Where a limit ends it, it closes with no balance."""
    ledger = LedgerServiceStub(office.channel)

    def ask(size: int, token: str) -> pb.GetStatementResponse:
        request = pb.GetStatementRequest(
            player_id=player_id,
            currency_code=currency_code,
            start_time=_moment(start),
            end_time=_moment(end),
            page_size=size,
            page_token=token,
        )
        return office.ask(ledger.GetStatement, request)

    def fetch(size: int, token: str) -> Page[pb.StatementLine]:
        answer = ask(size, token)
        return Page(answer.lines, answer.next_page_token)

    lines = Paged(fetch, limit)
    first = ask(lines.first_size(), "")
    lines.first = Page(first.lines, first.next_page_token)
    listing = Listing(
        "lines",
        "Lines",
        _LINE,
        lines,
        before=[_balance_row(first, "Opening Balance", first.opening_balance)],
        after=lambda: [] if lines.is_cut else [_balance_row(first, "Closing Balance", first.closing_balance)],
    )
    head = {
        "player_id": first.player_id,
        "currency_code": first.currency_code,
        "opening_balance": first.opening_balance,
        "closing_balance": first.closing_balance,
    }
    return Dossier(head, [listing])


def _balance_row(statement: pb.GetStatementResponse, title: str, balance: str) -> pb.StatementLine:
    entry = pb.Entry(title=title, player_id=statement.player_id, currency_code=statement.currency_code)
    return pb.StatementLine(entry=entry, running_balance=balance)


def _moment(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    moment = Timestamp()
    moment.FromDatetime(time)
    return moment

"""One transaction: what became of it."""

from service.operators.cells import Column
from service.operators.office import Office
from service.operators.reports import Record
from stakehold.v1 import wallet_service_pb2 as pb
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub

_TRANSACTION = [
    Column("state"),
    Column("kind"),
    Column("amount", "amount.amount", is_number=True),
    Column("currency_code", "amount.currency_code"),
    Column("booked_time", "result.booked_time"),
    Column("outcome", "result.outcome"),
    Column("refusal_reason"),
    Column("round_id"),
    Column("game_id"),
    Column("reference_transaction_id"),
    Column("rollback_transaction_id"),
    Column("late", "result.late"),
    Column("cash_after", "result.balance_after.cash", is_number=True),
    Column("version_after", "result.balance_after.version", is_number=True),
    Column("requested_amount", "conversion.requested.amount", is_number=True),
    Column("requested_currency_code", "conversion.requested.currency_code"),
    Column("rate", "conversion.rate", is_number=True),
    Column("slip_id", "slip.slip_id"),
    Column("slip_state", "slip.state"),
    Column(
        "entry_id",
        lambda found: str(found.result.entry_id or found.refusal.entry_id),
    ),
]


def show_transaction(office: Office, source_id: str, player_id: str, transaction_id: str) -> Record:
    """An id that was not seen is an answer, too: see ``is_unseen``."""
    request = pb.GetTransactionRequest(
        source_id=source_id, player_id=player_id, transaction_id=transaction_id
    )
    return Record(_TRANSACTION, office.ask(WalletServiceStub(office.channel).GetTransaction, request))


def is_unseen(record: Record) -> bool:
    found = record.message
    assert isinstance(found, pb.GetTransactionResponse)
    return found.state == pb.TRANSACTION_STATE_NOT_SEEN

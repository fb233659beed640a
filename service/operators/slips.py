"""Slips: what is held, staked and paid."""

from service.operators.cells import Column
from service.operators.office import Office
from service.operators.paging import Page, Paged
from service.operators.reports import Listing, Record
from stakehold.v1 import round_service_pb2, transaction_pb2
from stakehold.v1 import sportsbook_service_pb2 as pb
from stakehold.v1.sportsbook_service_pb2_grpc import SportsbookServiceStub

_UNFINISHED = (transaction_pb2.SLIP_STATE_HELD, transaction_pb2.SLIP_STATE_OPEN)


def _slip_columns() -> list[Column]:
    amounts = ("held", "staked", "live", "paid", "cashed")
    return [
        Column("slip_id", "slip.slip_id"),
        Column("state", "slip.state"),
        *(Column(name, f"slip.{name}.amount", is_number=True) for name in amounts),
        Column("currency_code", "slip.held.currency_code"),
        Column("wallet_currency_code", in_table=False),
        Column("expire_time", "slip.expire_time"),
        Column("version", "slip.version", is_number=True, in_table=False),
        Column("last_transaction_id", "slip.last_transaction_id", in_table=False),
        Column("undone_by_transaction_id", "slip.undone_by_transaction_id", in_table=False),
    ]


_SLIP = _slip_columns()
OPEN_SLIP = [Column("source_id"), Column("kind"), *_slip_columns(), Column("game_id")]


def show_slip(office: Office, source_id: str, player_id: str, slip_id: str) -> Record:
    """As it is now, by the wallet."""
    request = pb.GetSlipRequest(source_id=source_id, player_id=player_id, slip_id=slip_id)
    return Record(_SLIP, office.ask(SportsbookServiceStub(office.channel).GetSlip, request))


def list_open_slips(office: Office, player_id: str, source_id: str, *, limit: int | None) -> Listing:
    """Held and open ones, newest first, as the ledger has them: without their games."""
    slips = SportsbookServiceStub(office.channel)

    def fetch(size: int, token: str) -> Page[round_service_pb2.OpenSlip]:
        request = pb.ListSlipsRequest(
            player_id=player_id, source_id=source_id, states=_UNFINISHED, page_size=size, page_token=token
        )
        answer = office.ask(slips.ListSlips, request)
        return Page([_open_slip(slip) for slip in answer.slips], answer.next_page_token)

    return Listing("open_slips", "Open slips, newest first", OPEN_SLIP, Paged(fetch, limit))


def _open_slip(listed: pb.ListedSlip) -> round_service_pb2.OpenSlip:
    """As a session has them, so that many slips are told under the same names as few."""
    return round_service_pb2.OpenSlip(
        slip=listed.slip,
        source_id=listed.source_id,
        wallet_currency_code=listed.wallet_currency_code,
        kind=listed.kind,
    )

"""Corrections of wallets by hand: one person proposes, another one approves."""

from collections.abc import Sequence
from typing import Any

from service.operators.cells import Column, number_of
from service.operators.office import Office
from service.operators.paging import Page, Paged
from service.operators.reports import Dossier, Listing, Record
from stakehold.v1 import cashier_service_pb2 as pb
from stakehold.v1.cashier_service_pb2_grpc import CashierServiceStub

STATES = pb.CorrectionState.DESCRIPTOR


def _correction_columns(path: str = "") -> list[Column]:
    return [
        Column("correction_id", f"{path}correction_id"),
        Column("created_time", f"{path}created_time"),
        Column("player_id", f"{path}player_id"),
        Column("amount", f"{path}amount", is_number=True),
        Column("currency_code", f"{path}currency_code"),
        Column("state", f"{path}state"),
        Column("author", f"{path}author"),
        Column("reason", f"{path}reason"),
        Column("approver", f"{path}approver"),
        Column("refusal_reason", f"{path}refusal_reason"),
        Column("rejection_reason", f"{path}rejection_reason", in_table=False),
        Column("corrected_entry_id", f"{path}corrected_entry_id", in_table=False),
        Column("entry_id", f"{path}entry_id", in_table=False),
        Column("changed_time", f"{path}changed_time", in_table=False),
    ]


_CORRECTION = _correction_columns()
_ANSWERED = [*_correction_columns("correction."), Column("replayed")]
_MESSAGE = [
    Column("message_number", is_number=True),
    Column("told_time"),
    Column("message"),
    Column("told_by"),
    Column("accepted"),
    Column("state_before"),
    Column("state_after"),
    Column("details"),
]


def propose_correction(office: Office, **said: Any) -> Record:
    """``said`` are the request's fields. Moves nothing."""
    request = pb.ProposeCorrectionRequest(**said)
    return Record(_ANSWERED, office.change(CashierServiceStub(office.channel).ProposeCorrection, request))


def approve_correction(office: Office, correction_id: str, *, approver: str) -> Record:
    request = pb.ApproveCorrectionRequest(correction_id=correction_id, approver=approver)
    return Record(_ANSWERED, office.change(CashierServiceStub(office.channel).ApproveCorrection, request))


def reject_correction(office: Office, correction_id: str, *, rejected_by: str, reason: str) -> Record:
    request = pb.RejectCorrectionRequest(correction_id=correction_id, rejected_by=rejected_by, reason=reason)
    return Record(_ANSWERED, office.change(CashierServiceStub(office.channel).RejectCorrection, request))


def find_correction(office: Office, correction_id: str) -> pb.GetCorrectionResponse:
    """Raises NotDone where there is none."""
    request = pb.GetCorrectionRequest(correction_id=correction_id)
    return office.ask(CashierServiceStub(office.channel).GetCorrection, request)


def describe_correction(correction: pb.Correction) -> str:
    """As in "-5.00 EUR of player ada, proposed by eve: paid twice"."""
    return (
        f"{correction.amount} {correction.currency_code} of player {correction.player_id}, "
        f"proposed by {correction.author}: {correction.reason}"
    )


def show_correction(office: Office, correction_id: str) -> Dossier:
    """A correction, and all that was said about it."""
    answer = find_correction(office, correction_id)
    head = {column.name: column.text(answer.correction) for column in _CORRECTION}
    return Dossier(
        head,
        [
            Listing("correction", "Correction", _CORRECTION, [answer.correction]),
            Listing("messages", "What was said", _MESSAGE, answer.messages),
        ],
        message=answer,
    )


def list_corrections(office: Office, player_id: str, states: Sequence[str], *, limit: int | None) -> Listing:
    """Newest first."""
    cashier = CashierServiceStub(office.channel)
    wanted = [pb.CorrectionState.ValueType(number_of(STATES, state)) for state in states]

    def fetch(size: int, token: str) -> Page[pb.Correction]:
        request = pb.ListCorrectionsRequest(
            player_id=player_id, states=wanted, page_size=size, page_token=token
        )
        answer = office.ask(cashier.ListCorrections, request)
        return Page(answer.corrections, answer.next_page_token)

    return Listing("corrections", "Corrections", _CORRECTION, Paged(fetch, limit))

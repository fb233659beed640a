"""Between RoundService's messages and rounds, sessions and reviews."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from fx.amounts import format_amount
from persistence.calls import Call, RoundRecord, Step, TransactionRecord, TransactionState
from persistence.errors import FieldInvalid, PageTokenInvalid
from persistence.postgres.reading.rounds import BEFORE_ALL_ROUNDS, RoundName
from persistence.postgres.reviews import Review, ReviewKind
from persistence.rounds import OpenRounds, Played, RoundTotals, RoundView, Session
from persistence.transactions import Operation, PlayerId, TransactionKind
from service.conversions.amounts import money_message
from service.conversions.fields import (
    read_context,
    read_optional_id,
    read_player_id,
    read_transaction_id,
)
from service.conversions.results import (
    KINDS,
    OUTCOMES,
    STATES,
    balance_message,
    refusal_reason,
)
from service.conversions.slips import slip_message
from service.conversions.times import timestamp_of_ms
from service.registry import CurrencyScales, Registry
from stakehold.v1 import round_service_pb2 as pb
from stakehold.v1 import transaction_pb2

MAX_NOTE_CHARACTERS = 1000
REVIEW_KINDS = {
    ReviewKind.BET_SWEPT: pb.REVIEW_KIND_BET_SWEPT,
    ReviewKind.BET_NOT_SWEPT: pb.REVIEW_KIND_BET_NOT_SWEPT,
    ReviewKind.CASHIER_CONTRADICTION: pb.REVIEW_KIND_CASHIER_CONTRADICTION,
    ReviewKind.CASHIER_STUCK: pb.REVIEW_KIND_CASHIER_STUCK,
}


def close_round_call(request: pb.CloseRoundRequest, registry: Registry) -> Call:
    occurred_ms, metadata = read_context(request, "")
    step = Step(
        operation=Operation.CLOSE_ROUND,
        kind=TransactionKind.ROUND_CLOSING,
        transaction_id=read_transaction_id(request.transaction_id, "transaction_id"),
        currency=None,
        amount=None,
        game=read_optional_id(request.game_id, "game_id"),
        round=read_round_id(request.round_id),
        closes_round=True,
        occurred_ms=occurred_ms,
        metadata=metadata,
    )
    player_id = read_player_id(request.player_id)
    return Call(player_id, registry.source(request.source_id), (step,))


def read_round_id(text: str) -> str:
    return read_transaction_id(text, "round_id")


def read_most(number: int, field: str, *, default: int, most: int) -> int:
    """How many to tell; 0 is the default."""
    if not 0 <= number <= most:
        raise FieldInvalid(field, f"must be 0 to {most}")
    return number or default


def read_source_filter(source_id: str, registry: Registry) -> str:
    """Empty for all."""
    return registry.source(source_id).source_id if source_id else ""


def read_page_token(text: str, player_id: PlayerId, source: str) -> RoundName:
    """After which round a page begins."""
    if not text:
        return BEFORE_ALL_ROUNDS
    try:
        player, of_source, *name = json.loads(urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, TypeError):
        raise PageTokenInvalid from None
    is_name = len(name) == len(BEFORE_ALL_ROUNDS) and all(isinstance(part, str) for part in name)
    if (player, of_source) != (player_id, source) or not is_name:
        raise PageTokenInvalid
    return name[0], name[1], name[2]


def _page_token(after: RoundName | None, player_id: PlayerId, source: str) -> str:
    if after is None:
        return ""
    return urlsafe_b64encode(json.dumps([player_id, source, *after]).encode()).decode("ascii")


def read_note(text: str) -> str:
    if not 1 <= len(text) <= MAX_NOTE_CHARACTERS or "\x00" in text:
        raise FieldInvalid("note", f"must be 1 to {MAX_NOTE_CHARACTERS} characters, without NUL")
    return text


def round_message(record: RoundRecord, player_id: PlayerId) -> pb.Round:
    return pb.Round(
        source_id=record.source,
        player_id=player_id,
        game_id=record.game,
        round_id=record.round,
        state=pb.ROUND_STATE_CLOSED if record.is_closed else pb.ROUND_STATE_OPEN,
        bet_count=record.bets,
        live_bet_count=record.live_bets,
        win_count=record.wins,
        last_time=timestamp_of_ms(record.used_ms),
        closed_time=None if record.closed_ms is None else timestamp_of_ms(record.closed_ms),
    )


def round_view_message(
    view: RoundView, player_id: PlayerId, most: int, scales: CurrencyScales
) -> pb.GetRoundResponse:
    message = pb.GetRoundResponse(
        round=round_message(view.record, player_id),
        totals=[_totals_message(totals, scales) for totals in view.totals],
        rollback_count=view.rollback_count,
        unsettled_bet_count=view.unsettled_bet_count,
        transactions=_summaries(view.transactions[:most], scales),
        transaction_count=len(view.transactions),
    )
    if view.transactions:
        message.opened_time.CopyFrom(timestamp_of_ms(view.transactions[-1].record.booked_ms))
    return message


def open_rounds_message(found: OpenRounds, player_id: PlayerId, source: str) -> pb.ListOpenRoundsResponse:
    return pb.ListOpenRoundsResponse(
        rounds=[round_message(record, player_id) for record in found.rounds],
        next_page_token=_page_token(found.next_after, player_id, source),
    )


def session_message(
    session: Session, player_id: PlayerId, scales: CurrencyScales
) -> pb.ResumeSessionResponse:
    return pb.ResumeSessionResponse(
        balances=[balance_message(balance, scales) for balance in session.balances],
        open_rounds=[round_message(record, player_id) for record in session.open_rounds],
        more_open_rounds=session.more_open_rounds,
        open_slips=[_open_slip(played, scales) for played in session.open_slips],
        more_open_slips=session.more_open_slips,
        transactions=_summaries(session.transactions, scales),
        older_unknown=session.older_unknown,
    )


def _open_slip(played: Played, scales: CurrencyScales) -> pb.OpenSlip:
    record = played.record
    assert record.slip is not None
    assert record.kind is not None
    return pb.OpenSlip(
        slip=slip_message(record.slip, scales),
        source_id=played.source,
        wallet_currency_code=record.currency or "",
        kind=KINDS[record.kind],
        game_id=record.game,
    )


def review_message(review: Review) -> pb.Review:
    message = pb.Review(
        review_id=review.review_id,
        kind=REVIEW_KINDS[review.kind],
        player_id=review.player_id,
        source_id=review.source_id,
        transaction_id=review.transaction_id,
        action_transaction_id=review.action_transaction_id,
        entry_id=review.entry_id,
        game_id=review.game,
        round_id=review.round,
        description=review.description,
        raised_time=_timestamp(review.raised_time),
        resolved_by=review.resolved_by,
        note=review.note,
    )
    if review.resolved_time is not None:
        message.resolved_time.CopyFrom(_timestamp(review.resolved_time))
    return message


def currencies_of(transactions: Iterable[Played]) -> list[str]:
    """What the registry must know, so that amounts can be written."""
    currencies: list[str] = []
    for played in transactions:
        if played.record.currency:
            currencies.append(played.record.currency)
        if played.record.slip is not None:
            currencies.append(played.record.slip.currency)
    return currencies


def _summaries(transactions: Iterable[Played], scales: CurrencyScales) -> list[pb.TransactionSummary]:
    return [_summary(played, scales) for played in transactions]


def _summary(played: Played, scales: CurrencyScales) -> pb.TransactionSummary:
    record = played.record
    kind = TransactionKind.ROLLBACK if record.operation is Operation.ROLLBACK else record.kind
    message = pb.TransactionSummary(
        source_id=played.source,
        transaction_id=record.transaction_id,
        kind=KINDS[kind] if kind else transaction_pb2.TRANSACTION_KIND_UNSPECIFIED,
        state=STATES[record.state],
        round_id=record.round,
        game_id=record.game,
        reference_transaction_id=record.reference,
        late=record.late,
        entry_id=record.entry_id,
        booked_time=timestamp_of_ms(record.booked_ms),
    )
    if record.amount is not None and record.currency:
        message.amount.CopyFrom(money_message(record.amount, record.currency, scales))
    if record.outcome is not None:
        message.outcome = OUTCOMES[record.outcome]
    if record.reason:
        message.refusal_reason = refusal_reason(record.reason)
    message.rollback_transaction_id = _undone_by(record)
    return message


def _undone_by(record: TransactionRecord) -> str:
    undone = (TransactionState.ROLLED_BACK, TransactionState.TOMBSTONE)
    return record.related if record.state in undone else ""


def _totals_message(totals: RoundTotals, scales: CurrencyScales) -> pb.RoundTotals:
    scale = scales.scale_of(totals.currency)
    return pb.RoundTotals(
        currency_code=totals.currency,
        bet_count=totals.bet_count,
        staked=format_amount(totals.staked, scale),
        win_count=totals.win_count,
        won=format_amount(totals.won, scale),
        late_count=totals.late_count,
        late=format_amount(totals.late, scale),
        net=format_amount(totals.net, scale),
    )


def _timestamp(time: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp

"""Reads what is asked of holds and slips as calls of the engine, and shows slips."""

from persistence.calls import Call, Step
from persistence.errors import FieldInvalid
from persistence.slips import Slip, SlipState, SlipTerms
from persistence.transactions import CurrencyCode, Operation, TransactionId, TransactionKind
from service.conversions.amounts import money_message
from service.conversions.callers import read_caller, read_group
from service.conversions.fields import (
    read_context,
    read_money,
    read_optional_id,
    read_transaction_id,
    read_version,
    read_wallet_currency,
    unix_ms_of,
)
from service.conversions.times import timestamp_of_ms
from service.registry import CurrencyScales, Registry
from stakehold.v1 import sportsbook_service_pb2 as sportsbook
from stakehold.v1 import transaction_pb2
from stakehold.v1 import wallet_service_pb2 as wallet

SLIP_STATES = {
    SlipState.HELD: transaction_pb2.SLIP_STATE_HELD,
    SlipState.OPEN: transaction_pb2.SLIP_STATE_OPEN,
    SlipState.SETTLED: transaction_pb2.SLIP_STATE_SETTLED,
    SlipState.VOIDED: transaction_pb2.SLIP_STATE_VOIDED,
    SlipState.CASHED_OUT: transaction_pb2.SLIP_STATE_CASHED_OUT,
    SlipState.CAPTURED: transaction_pb2.SLIP_STATE_CAPTURED,
    SlipState.RELEASED: transaction_pb2.SLIP_STATE_RELEASED,
    SlipState.EXPIRED: transaction_pb2.SLIP_STATE_EXPIRED,
    SlipState.CANCELLED: transaction_pb2.SLIP_STATE_CANCELLED,
}
_HOLD_KINDS = {
    transaction_pb2.TRANSACTION_KIND_BET: TransactionKind.BET,
    transaction_pb2.TRANSACTION_KIND_WITHDRAWAL: TransactionKind.WITHDRAWAL,
}

_Hold = wallet.HoldRequest | wallet.HoldStep
_Capture = wallet.CaptureRequest | wallet.CaptureStep
_Release = wallet.ReleaseRequest | wallet.ReleaseStep
_Change = (
    _Capture
    | _Release
    | sportsbook.SettleSlipRequest
    | sportsbook.ResettleSlipRequest
    | sportsbook.UnsettleSlipRequest
    | sportsbook.VoidSlipRequest
    | sportsbook.ReopenSlipRequest
    | sportsbook.CashOutSlipRequest
)
_Asked = tuple[CurrencyCode | None, int | None]


def hold_call(request: wallet.HoldRequest, registry: Registry) -> Call:
    return Call(
        *read_caller(request, registry), (hold_step(request, registry, ""),), read_group(request.player_group)
    )


def capture_call(request: wallet.CaptureRequest, registry: Registry) -> Call:
    return Call(*read_caller(request, registry), (capture_step(request, registry, ""),))


def release_call(request: wallet.ReleaseRequest, registry: Registry) -> Call:
    return Call(*read_caller(request, registry), (release_step(request, registry, ""),))


def place_call(request: sportsbook.PlaceSlipRequest, registry: Registry) -> Call:
    currency, stake = read_money(request.stake, registry, "stake")
    _require_some(stake, "stake")
    occurred_ms, metadata = read_context(request, "")
    step = Step(
        operation=Operation.PLACE,
        kind=TransactionKind.BET,
        transaction_id=read_transaction_id(request.transaction_id, "transaction_id"),
        currency=CurrencyCode(currency.code),
        amount=stake,
        currency_status=currency.status,
        game=read_optional_id(request.game_id, "game_id"),
        expected_version=_read_version(request, ""),
        occurred_ms=occurred_ms,
        metadata=metadata,
        wallet_currency=read_wallet_currency(request.wallet_currency_code, registry, ""),
        terms=SlipTerms(),
    )
    return Call(*read_caller(request, registry), (step,), read_group(request.player_group))


def settle_call(request: sportsbook.SettleSlipRequest, registry: Registry) -> Call:
    asked = _read_amount(request, registry, "")
    terms = SlipTerms(is_final=not request.partial)
    return _change_call(Operation.SETTLE, TransactionKind.WIN, request, asked, terms, registry)


def resettle_call(request: sportsbook.ResettleSlipRequest, registry: Registry) -> Call:
    currency, total = read_money(request.total, registry, "total")
    asked = CurrencyCode(currency.code), total
    return _change_call(Operation.RESETTLE, TransactionKind.WIN, request, asked, SlipTerms(), registry)


def unsettle_call(request: sportsbook.UnsettleSlipRequest, registry: Registry) -> Call:
    return _change_call(Operation.UNSETTLE, TransactionKind.WIN, request, (None, None), SlipTerms(), registry)


def void_call(request: sportsbook.VoidSlipRequest, registry: Registry) -> Call:
    return _change_call(Operation.VOID, TransactionKind.REFUND, request, (None, None), SlipTerms(), registry)


def reopen_call(request: sportsbook.ReopenSlipRequest, registry: Registry) -> Call:
    return _change_call(
        Operation.REOPEN, TransactionKind.REFUND, request, (None, None), SlipTerms(), registry
    )


def cash_out_call(request: sportsbook.CashOutSlipRequest, registry: Registry) -> Call:
    code, amount = _read_amount(request, registry, "")
    stake: int | None = None
    if request.HasField("stake"):
        currency, stake = read_money(request.stake, registry, "stake")
        _require_some(stake, "stake")
        if currency.code != code:
            raise FieldInvalid("stake.currency_code", "must be the amount's, the slip's own")
    terms = SlipTerms(stake=stake)
    return _change_call(
        Operation.CASH_OUT, TransactionKind.CASH_OUT, request, (code, amount), terms, registry
    )


def hold_step(message: _Hold, registry: Registry, path: str) -> Step:
    kind = _HOLD_KINDS.get(message.kind)
    if kind is None:
        raise FieldInvalid(f"{path}kind", "must be BET or WITHDRAWAL")
    currency, amount = read_money(message.amount, registry, f"{path}amount")
    _require_some(amount, f"{path}amount")
    expires_ms = None
    if message.HasField("expire_time"):
        expires_ms = unix_ms_of(message.expire_time, f"{path}expire_time")
    occurred_ms, metadata = read_context(message, path)
    return Step(
        operation=Operation.HOLD,
        kind=kind,
        transaction_id=read_transaction_id(message.transaction_id, f"{path}transaction_id"),
        currency=CurrencyCode(currency.code),
        amount=amount,
        currency_status=currency.status,
        game=read_optional_id(message.game_id, f"{path}game_id"),
        expected_version=_read_version(message, path),
        occurred_ms=occurred_ms,
        metadata=metadata,
        wallet_currency=read_wallet_currency(message.wallet_currency_code, registry, path),
        terms=SlipTerms(expires_ms=expires_ms),
    )


def capture_step(message: _Capture, registry: Registry, path: str) -> Step:
    asked = _read_amount(message, registry, path)
    return _change(Operation.CAPTURE, None, message, asked, SlipTerms(is_final=message.final), path)


def release_step(message: _Release, registry: Registry, path: str) -> Step:
    asked: _Asked = (None, None)
    if message.HasField("amount"):
        asked = _read_amount(message, registry, path)
    return _change(Operation.RELEASE, None, message, asked, SlipTerms(), path)


def slip_message(slip: Slip, scales: CurrencyScales) -> transaction_pb2.Slip:
    """Its currency has to be known to ``scales``."""
    message = transaction_pb2.Slip(
        slip_id=slip.slip_id,
        state=SLIP_STATES[slip.state],
        version=slip.version,
        held=money_message(slip.held, slip.currency, scales),
        staked=money_message(slip.staked, slip.currency, scales),
        live=money_message(slip.live, slip.currency, scales),
        paid=money_message(slip.paid, slip.currency, scales),
        cashed=money_message(slip.cashed, slip.currency, scales),
        last_transaction_id=slip.last,
        undone_by_transaction_id=slip.undone,
    )
    if slip.expires_ms is not None:
        message.expire_time.CopyFrom(timestamp_of_ms(slip.expires_ms))
    return message


def _change_call(
    operation: Operation,
    kind: TransactionKind,
    request: sportsbook.SettleSlipRequest
    | sportsbook.ResettleSlipRequest
    | sportsbook.UnsettleSlipRequest
    | sportsbook.VoidSlipRequest
    | sportsbook.ReopenSlipRequest
    | sportsbook.CashOutSlipRequest,
    asked: _Asked,
    terms: SlipTerms,
    registry: Registry,
) -> Call:
    step = _change(operation, kind, request, asked, terms, "")
    return Call(*read_caller(request, registry), (step,))


def _change(
    operation: Operation,
    kind: TransactionKind | None,
    message: _Change,
    asked: _Asked,
    terms: SlipTerms,
    path: str,
) -> Step:
    transaction_id = read_transaction_id(message.transaction_id, f"{path}transaction_id")
    slip_id: TransactionId = read_transaction_id(message.slip_id, f"{path}slip_id")
    if slip_id == transaction_id:
        raise FieldInvalid(f"{path}transaction_id", "must differ from slip_id")
    occurred_ms, metadata = read_context(message, path)
    currency, amount = asked
    return Step(
        operation=operation,
        kind=kind,
        transaction_id=transaction_id,
        currency=currency,
        amount=amount,
        reference=slip_id,
        expected_version=_read_version(message, path),
        occurred_ms=occurred_ms,
        metadata=metadata,
        terms=terms,
    )


def _read_amount(
    message: _Capture | _Release | sportsbook.SettleSlipRequest | sportsbook.CashOutSlipRequest,
    registry: Registry,
    path: str,
) -> _Asked:
    currency, amount = read_money(message.amount, registry, f"{path}amount")
    return CurrencyCode(currency.code), amount


def _read_version(message: _Hold | _Change | sportsbook.PlaceSlipRequest, path: str) -> int | None:
    if not message.HasField("expected_version"):
        return None
    return read_version(message.expected_version, f"{path}expected_version")


def _require_some(amount: int, field: str) -> None:
    if amount == 0:
        raise FieldInvalid(field, "must be more than zero")

"""How a caller learns what became of a call whose answer was lost."""

from stakehold.v1 import error_reason_pb2, transaction_pb2
from stakehold.v1 import wallet_service_pb2 as pb
from tests.acceptance.seat import Seat
from tests.answers import read_balance, read_refusal, read_result
from tests.steps import bet, rollback, win
from tests.wallet_api import WalletApi, new_name


async def test_an_id_that_was_never_seen_is_an_answer(seat: Seat) -> None:
    found = await seat.look_up("b1")

    assert found == pb.GetTransactionResponse(state=pb.TRANSACTION_STATE_NOT_SEEN)


async def test_a_player_without_wallets_has_seen_nothing(api: WalletApi, seat: Seat) -> None:
    found = await api.transaction(seat.source_id, new_name("stranger"), "b1")

    assert found.state == pb.TRANSACTION_STATE_NOT_SEEN


async def test_an_applied_bet_is_told_with_its_first_answer(seat: Seat) -> None:
    first = await seat.one(bet("b1", "10", round_id="r1", game_id="g1"))
    await seat.one(bet("b2", "5"))

    found = await seat.look_up("b1")

    result = read_result(found.result)
    assert found.state == pb.TRANSACTION_STATE_APPLIED
    assert found.kind == transaction_pb2.TRANSACTION_KIND_BET
    assert (found.amount.currency_code, found.amount.amount) == ("EUR", "10.00")
    assert (found.round_id, found.game_id) == ("r1", "g1")
    assert (result.entry_id, result.after, result.booked_ns) == (
        first.entry_id,
        first.after,
        first.booked_ns,
    )
    assert result.now == await seat.balance()
    assert not found.HasField("refusal")


async def test_a_win_is_told_with_its_bet(seat: Seat) -> None:
    await seat.play(bet("b1", "10"), win("w1", "5", of="b1"))

    found = await seat.look_up("w1")

    assert found.kind == transaction_pb2.TRANSACTION_KIND_WIN
    assert found.reference_transaction_id == "b1"


async def test_a_refused_bet_is_told_with_its_reason(seat: Seat) -> None:
    refused = await seat.refused(bet("b1", "200"))

    found = await seat.look_up("b1")

    assert found.state == pb.TRANSACTION_STATE_REFUSED
    assert found.refusal_reason == error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS
    assert found.amount.amount == "200.00"
    assert not found.HasField("result")
    first, told = refused.details.refusal, read_refusal(found.refusal)
    assert first is not None
    assert (told.entry_id, told.balance, told.transaction_id) == (first.entry_id, first.balance, "b1")


async def test_a_call_that_was_refused_for_another_step_names_that_step(seat: Seat) -> None:
    await seat.refused(bet("b1", "10"), bet("b2", "95"))

    found = await seat.look_up("b1")

    assert found.state == pb.TRANSACTION_STATE_REFUSED
    assert found.refusal_reason == error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS
    assert found.refusal.related_transaction_id == "b2"


async def test_a_rolled_back_bet_is_told_with_its_rollback(seat: Seat) -> None:
    first = await seat.one(bet("b1", "10"))
    undone = await seat.one(rollback("r1", "b1"))

    bet_found, rollback_found = await seat.look_up("b1"), await seat.look_up("r1")

    assert bet_found.state == pb.TRANSACTION_STATE_ROLLED_BACK
    assert bet_found.rollback_transaction_id == "r1"
    assert bet_found.result.entry_id == first.entry_id
    assert rollback_found.state == pb.TRANSACTION_STATE_APPLIED
    assert rollback_found.kind == transaction_pb2.TRANSACTION_KIND_ROLLBACK
    assert rollback_found.reference_transaction_id == "b1"
    assert rollback_found.result.outcome == transaction_pb2.OUTCOME_APPLIED
    assert read_balance(rollback_found.result.balance_after) == undone.after


async def test_a_forestalled_bet_is_told_with_its_rollback(seat: Seat) -> None:
    await seat.one(rollback("r1", "b1"))

    bet_found, rollback_found = await seat.look_up("b1"), await seat.look_up("r1")

    assert bet_found.state == pb.TRANSACTION_STATE_TOMBSTONED
    assert bet_found.rollback_transaction_id == "r1"
    assert not bet_found.HasField("result")
    assert rollback_found.state == pb.TRANSACTION_STATE_APPLIED
    assert rollback_found.result.outcome == transaction_pb2.OUTCOME_NO_ORIGINAL


async def test_a_refusal_that_is_not_remembered_was_not_seen(seat: Seat) -> None:
    await seat.refused(win("w1", "5", of="b1"))

    assert (await seat.look_up("w1")).state == pb.TRANSACTION_STATE_NOT_SEEN

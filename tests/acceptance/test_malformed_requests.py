"""What is malformed is refused with the field named, and nothing is remembered of it."""

import pytest

from stakehold.v1 import wallet_service_pb2 as pb
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.malformed import MALFORMED_AMOUNTS, MALFORMED_IDS
from tests.reference import Credit, Debit, Money
from tests.requests import call
from tests.steps import bet, rollback, win
from tests.wallet_api import WalletApi

LONGEST_ID = "~" * 128


async def invalid_field(
    seat: Seat, request: pb.DebitRequest | pb.RollbackRequest | pb.TransactRequest
) -> str:
    """Sends what has to be refused as malformed; the field that is named."""
    with pytest.raises(Refused) as caught:
        await seat.api.send(request)
    refused = caught.value
    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD"), refused
    [field] = refused.details.fields
    return field


def debit(seat: Seat, step: Debit) -> pb.DebitRequest:
    request = call(seat.source_id, seat.player_id, [step])
    assert isinstance(request, pb.DebitRequest)
    return request


async def require_untouched(seat: Seat) -> None:
    wallet = await seat.balance()
    assert (wallet.cash, wallet.version) == ("100.00", 2)


@pytest.mark.parametrize("amount", MALFORMED_AMOUNTS)
async def test_a_malformed_amount_is_refused_and_its_id_stays_free(seat: Seat, amount: str) -> None:
    field = await invalid_field(seat, debit(seat, bet("b1", amount)))

    assert field == "amount.amount"
    await require_untouched(seat)
    assert (await seat.one(bet("b1", "10"))).after is not None


@pytest.mark.parametrize("amount", ["10.5", "10.0", "0.1"])
async def test_a_currency_without_decimals_takes_none(api: WalletApi, amount: str) -> None:
    seat = await seated(api, currency="JPY")

    assert await invalid_field(seat, debit(seat, bet("b1", amount, "JPY"))) == "amount.amount"
    assert await seat.cash("JPY") == "100"


@pytest.mark.parametrize("amount", ["0.000000001", "0.0000000000000000001"])
async def test_more_decimals_than_a_currency_has_are_never_cut_off(api: WalletApi, amount: str) -> None:
    seat = await seated(api, currency="BTC")

    assert await invalid_field(seat, debit(seat, bet("b1", amount, "BTC"))) == "amount.amount"
    assert await seat.cash("BTC") == "100.00000000"


@pytest.mark.parametrize(
    "field", ["player_id", "transaction_id", "round_id", "game_id", "reference_transaction_id"]
)
@pytest.mark.parametrize("text", MALFORMED_IDS)
async def test_a_malformed_id_is_refused(seat: Seat, field: str, text: str) -> None:
    optional = field not in {"player_id", "transaction_id"}
    request = debit(seat, bet("b1", "10", round_id="r1"))
    setattr(request, field, text)

    if optional and not text:
        await seat.api.send(request)
    else:
        assert await invalid_field(seat, request) == field
        await require_untouched(seat)


@pytest.mark.parametrize("text", MALFORMED_IDS)
async def test_a_malformed_original_is_refused(seat: Seat, text: str) -> None:
    request = pb.RollbackRequest(
        source_id=seat.source_id,
        player_id=seat.player_id,
        transaction_id="r1",
        original_transaction_id=text,
    )

    assert await invalid_field(seat, request) == "original_transaction_id"


async def test_ids_of_128_printable_characters_are_compared_byte_for_byte(seat: Seat) -> None:
    await seat.one(bet(LONGEST_ID, "1", round_id=LONGEST_ID, game_id=LONGEST_ID))
    await seat.one(bet("Id", "1"))
    await seat.one(bet("id", "1"))
    await seat.one(bet("{w0}: *?'\"\\", "1"))

    assert await seat.cash() == "96.00"
    assert (await seat.one(bet("{w0}: *?'\"\\", "1"))).replayed


async def test_a_rollback_of_itself_is_malformed(seat: Seat) -> None:
    refused = await seat.refused(rollback("r1", "r1"))

    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert refused.details.fields == ("transaction_id",)


@pytest.mark.parametrize("kind", ["UNSPECIFIED", "WIN", "REFUND", "DEPOSIT", "BONUS", "ROLLBACK"])
async def test_a_debit_takes_no_kind_that_gives(seat: Seat, kind: str) -> None:
    assert await invalid_field(seat, debit(seat, Debit("b1", kind, Money("EUR", "1")))) == "kind"


@pytest.mark.parametrize("kind", ["UNSPECIFIED", "BET", "TIP", "WITHDRAWAL", "ROLLBACK"])
async def test_a_credit_takes_no_kind_that_takes(seat: Seat, kind: str) -> None:
    refused = await seat.refused(Credit("w1", kind, Money("EUR", "1")))

    assert (refused.reason, refused.details.fields) == ("INVALID_FIELD", ("kind",))


@pytest.mark.parametrize("count", [0, 17])
async def test_a_call_has_1_to_16_steps(seat: Seat, count: int) -> None:
    steps = [bet(f"b{number}", "1") for number in range(count)]
    request = pb.TransactRequest(source_id=seat.source_id, player_id=seat.player_id)
    for step in steps:
        request.steps.add().debit.transaction_id = step.transaction_id

    with pytest.raises(Refused) as caught:
        await seat.api.send(request)

    assert caught.value.reason == "INVALID_FIELD"
    assert "steps" in caught.value.details.fields
    await require_untouched(seat)


async def test_sixteen_steps_are_taken(seat: Seat) -> None:
    results = await seat.play(*(bet(f"b{number}", "1") for number in range(16)))

    assert [result.after and result.after.version for result in results] == list(range(3, 19))
    assert await seat.cash() == "84.00"


async def test_one_malformed_step_refuses_the_call_and_is_named_by_its_place(seat: Seat) -> None:
    refused = await seat.refused(bet("b1", "1"), bet("b2", "-1"))

    assert refused.reason == "INVALID_FIELD"
    assert refused.details.fields == ("steps[1].debit.amount.amount",)
    await require_untouched(seat)
    assert (await seat.look_up("b1")).state == pb.TRANSACTION_STATE_NOT_SEEN


async def test_a_step_without_an_operation_is_malformed(seat: Seat) -> None:
    request = pb.TransactRequest(
        source_id=seat.source_id, player_id=seat.player_id, steps=[pb.TransactStep()]
    )

    assert (await invalid_field(seat, request)).startswith("steps[0]")


async def test_a_missing_amount_is_malformed(seat: Seat) -> None:
    request = debit(seat, bet("b1", "1"))
    request.ClearField("amount")

    with pytest.raises(Refused) as caught:
        await seat.api.send(request)

    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.details.fields[0].startswith("amount")
    await require_untouched(seat)


@pytest.mark.parametrize("version", [-1, -(2**63)])
async def test_an_impossible_expected_version_is_never_matched(seat: Seat, version: int) -> None:
    request = debit(seat, bet("b1", "1"))
    request.expected_version = version

    with pytest.raises(Refused):
        await seat.api.send(request)
    await require_untouched(seat)


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "XXXX", "€", "E" * 300])
async def test_an_unknown_currency_is_refused_and_never_converted(seat: Seat, currency: str) -> None:
    refused = await seat.refused(bet("b1", "1", currency))

    assert refused.code == "INVALID_ARGUMENT"
    assert refused.reason in {"CURRENCY_UNKNOWN", "INVALID_FIELD"}
    assert refused.details.fields == ("amount.currency_code",)
    await require_untouched(seat)


@pytest.mark.parametrize(
    "metadata",
    [
        {f"key{number}": "x" for number in range(17)},
        {"k" * 257: "x"},
        {"key": "x" * 257},
    ],
    ids=["17 pairs", "long key", "long value"],
)
async def test_metadata_beyond_its_limits_is_refused(seat: Seat, metadata: dict[str, str]) -> None:
    request = debit(seat, bet("b1", "1"))
    request.context.metadata.update(metadata)

    assert (await invalid_field(seat, request)).startswith("context.metadata")
    await require_untouched(seat)


async def test_a_retry_may_carry_another_context(seat: Seat) -> None:
    request = debit(seat, bet("b1", "1"))
    request.context.metadata.update({f"key{number}": "ü" * 256 for number in range(16)})
    request.context.occurred_time.FromJsonString("2026-01-01T00:00:00Z")
    await seat.api.send(request)

    request.context.metadata.clear()
    request.context.occurred_time.FromJsonString("2026-01-01T00:00:09Z")
    [again] = await seat.api.send(request)

    assert again.replayed


async def test_a_win_for_itself_is_no_settlement(seat: Seat) -> None:
    refused = await seat.refused(win("w1", "5", of="w1"))

    assert refused.reason in {"INVALID_FIELD", "REFERENCE_NOT_FOUND"}
    await require_untouched(seat)

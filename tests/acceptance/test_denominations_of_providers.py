"""Amounts as providers write them: the same money as in the currency itself, or refused."""

import pytest

from stakehold.v1 import admin_service_pb2 as pb
from stakehold.v1 import money_pb2, transaction_pb2, wallet_service_pb2
from tests.acceptance.seat import seated
from tests.answers import Refused
from tests.steps import bet, deposit, rollback, win
from tests.wallet_api import WalletApi, new_name

HUNDRED_THOUSANDTHS = "EUR-100000ths"


async def test_what_crypto_providers_write_is_there_from_the_beginning(api: WalletApi) -> None:
    listed = (await api.admin.ListDenominations(pb.ListDenominationsRequest())).denominations

    codes = [denomination.denomination_code for denomination in listed]
    assert codes == sorted(codes)
    assert {"mBTC", "uBTC", "satoshi", "mETH", "uETH", "gwei", "wei"} <= set(codes)
    gwei = pb.Denomination(denomination_code="gwei", currency_code="ETH", exponent=-9)
    assert gwei in listed


async def test_a_bet_in_mbtc_takes_bitcoin(api: WalletApi) -> None:
    seat = await seated(api, start="0.01", currency="BTC")

    done = await seat.one(bet("b1", "1.5", "mBTC"))

    assert done.after is not None
    assert (done.after.currency, done.after.cash) == ("BTC", "0.00850000")
    stored = await seat.look_up("b1")
    assert stored.amount == money_pb2.Money(currency_code="BTC", amount="0.00150000")
    assert not stored.result.HasField("conversion")


async def test_each_step_of_a_call_may_have_its_own_unit(api: WalletApi) -> None:
    seat = await seated(api, start="0.01", currency="BTC")

    await seat.play(bet("b1", "1", "mBTC"), bet("b2", "100", "uBTC"), win("w1", "300000", "satoshi", of="b1"))

    assert await seat.cash("BTC") == "0.01190000"


async def test_whole_hundred_thousandths_are_euros_where_they_are_whole_cents(api: WalletApi) -> None:
    await api.put_denomination(HUNDRED_THOUSANDTHS, "EUR", -5)
    seat = await seated(api)

    await seat.one(bet("b1", "150000", HUNDRED_THOUSANDTHS))
    refused = await seat.refused(bet("b2", "150001", HUNDRED_THOUSANDTHS))

    assert await seat.cash() == "98.50"
    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert refused.details.fields == ("amount.amount",)


async def test_cents_of_a_currency_without_decimals_are_whole_or_refused(api: WalletApi) -> None:
    await api.put_denomination("JPY-cents", "JPY", -2)
    seat = await seated(api, start="1000", currency="JPY")

    await seat.one(bet("b1", "1200", "JPY-cents"))

    assert await seat.cash("JPY") == "988"
    assert (await seat.refused(bet("b2", "1250", "JPY-cents"))).reason == "INVALID_FIELD"


async def test_a_retry_in_another_unit_is_the_same_payload_and_replays(api: WalletApi) -> None:
    seat = await seated(api, start="0.01", currency="BTC")
    first = await seat.one(bet("b1", "0.0015", "BTC"))

    for amount, unit in (("1.5", "mBTC"), ("1500", "uBTC"), ("150000", "satoshi")):
        again = await seat.one(bet("b1", amount, unit))
        assert (again.replayed, again.entry_id) == (True, first.entry_id)
    assert (await seat.refused(bet("b1", "1500", "mBTC"))).reason == "TRANSACTION_ID_CONFLICT"
    assert await seat.cash("BTC") == "0.00850000"


async def test_a_rollback_may_name_the_amount_in_another_unit(api: WalletApi) -> None:
    seat = await seated(api, start="0.01", currency="BTC")
    await seat.one(bet("b1", "1.5", "mBTC"))

    assert (await seat.refused(rollback("r1", "b1", "1501", "uBTC"))).reason == "AMOUNT_MISMATCH"
    await seat.one(rollback("r2", "b1", "1500", "uBTC"))

    assert await seat.cash("BTC") == "0.01000000"


@pytest.mark.parametrize("code", ["MBTC-unknown", "mbtc", "MBtc", "mBTC "])
async def test_another_code_is_no_unit(api: WalletApi, code: str) -> None:
    seat = await seated(api, start="0.01", currency="BTC")

    refused = await seat.refused(bet("b1", "1.5", code))

    assert (refused.reason, refused.details.metadata["currency_code"]) == ("CURRENCY_UNKNOWN", code)
    assert refused.details.fields == ("amount.currency_code",)


async def test_a_wallet_is_in_a_currency_and_its_credit_line_may_be_in_a_unit(api: WalletApi) -> None:
    player = new_name("player")
    with pytest.raises(Refused) as caught:
        await api.open_wallet(player, "mBTC")
    opened = await api.admin.OpenWallet(
        pb.OpenWalletRequest(
            player_id=player,
            currency_code="BTC",
            credit_line=money_pb2.Money(currency_code="mBTC", amount="2"),
        )
    )

    assert caught.value.reason == "CURRENCY_UNKNOWN"
    assert (opened.balance.currency_code, opened.balance.credit_line) == ("BTC", "0.00200000")


async def test_the_wallet_of_a_call_is_named_by_its_currency(api: WalletApi) -> None:
    seat = await seated(api, start="0.01", currency="BTC")
    request = wallet_service_pb2.DebitRequest(
        source_id=seat.source_id,
        player_id=seat.player_id,
        transaction_id="b1",
        kind=transaction_pb2.TRANSACTION_KIND_BET,
        amount=money_pb2.Money(currency_code="mBTC", amount="1"),
        wallet_currency_code="mBTC",
    )

    with pytest.raises(Refused) as caught:
        await api.send(request)

    assert caught.value.details.fields == ("wallet_currency_code",)


@pytest.mark.parametrize(
    ("field", "code", "currency", "exponent"),
    [
        ("denomination_code", "", "EUR", -2),
        ("denomination_code", "1EUR", "EUR", -2),
        ("denomination_code", "c" * 33, "EUR", -2),
        ("denomination_code", "EUR cents", "EUR", -2),
        ("denomination_code", "\u00b5BTC", "BTC", -6),
        ("denomination_code", "cents\n", "EUR", -2),
        ("currency_code", "units", "XYZ", 0),
        ("currency_code", "units", "", 0),
        ("currency_code", "units", "mBTC", 0),
        ("exponent", "units", "EUR", -19),
        ("exponent", "units", "EUR", 19),
    ],
)
async def test_a_malformed_denomination_is_refused(
    api: WalletApi, field: str, code: str, currency: str, exponent: int
) -> None:
    with pytest.raises(Refused) as caught:
        await api.put_denomination(code, currency, exponent)

    assert caught.value.details.fields == (f"denomination.{field}",)


async def test_a_unit_of_the_largest_exponent_still_counts_exactly(api: WalletApi) -> None:
    await api.put_denomination("EUR-trillion", "EUR", 18)
    seat = await seated(api)

    await seat.one(deposit("d1", "0.00000000000000000001", "EUR-trillion"))

    assert await seat.cash() == "100.01"

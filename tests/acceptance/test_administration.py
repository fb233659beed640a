"""What operators set up, and that it holds at once on the server that was told."""

import grpc
import pytest

from stakehold.v1 import admin_service_pb2 as pb
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused, read_balance, refused
from tests.reference import Currency, Policies
from tests.steps import bet, deposit, rollback, win
from tests.wallet_api import WalletApi, new_name


async def put_currency_refusal(api: WalletApi, currency: pb.Currency) -> Refused:
    with pytest.raises(grpc.RpcError) as caught:
        await api.admin.PutCurrency(pb.PutCurrencyRequest(currency=currency))
    return refused(caught.value)


async def put_source_refusal(api: WalletApi, source_id: str) -> Refused:
    with pytest.raises(Refused) as caught:
        await api.put_source(source_id)
    return caught.value


async def test_opening_a_wallet_again_changes_nothing(api: WalletApi) -> None:
    player = new_name("player")

    first = await api.open_wallet(player, "EUR", credit_line="50")
    again = await api.open_wallet(player, "EUR", credit_line="70")

    assert (first.created, again.created) == (True, False)
    assert first.balance == again.balance
    assert (first.balance.version, first.balance.cash, first.balance.credit_line) == (1, "0.00", "50.00")


async def test_a_player_has_a_wallet_for_each_currency_in_the_order_of_codes(api: WalletApi) -> None:
    player = new_name("player")
    for currency in ("USD", "BTC", "JPY", "EUR"):
        await api.open_wallet(player, currency)

    shown = [(balance.currency, balance.cash) for balance in await api.balances(player)]

    assert shown == [("BTC", "0.00000000"), ("EUR", "0.00"), ("JPY", "0"), ("USD", "0.00")]


async def test_a_player_without_wallets_is_not_found(api: WalletApi) -> None:
    with pytest.raises(Refused) as caught:
        await api.balances(new_name("stranger"))

    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "WALLET_NOT_FOUND")


async def test_a_new_status_takes_a_version_and_the_same_status_takes_none(api: WalletApi) -> None:
    seat = await seated(api)

    frozen = await api.set_status(seat.player_id, "EUR", "DEBITS_FROZEN")
    again = await api.set_status(seat.player_id, "EUR", "DEBITS_FROZEN")
    active = await api.set_status(seat.player_id, "EUR", "ACTIVE", expected_version=3)

    assert (frozen.changed, frozen.balance.version) == (True, 3)
    assert (again.changed, again.balance.version) == (False, 3)
    assert (active.changed, active.balance.version) == (True, 4)
    assert read_balance(active.balance) == await seat.balance()


async def test_a_status_for_another_version_is_not_set(api: WalletApi) -> None:
    seat = await seated(api)

    with pytest.raises(Refused) as caught:
        await api.set_status(seat.player_id, "EUR", "CLOSED", expected_version=1)

    assert (caught.value.code, caught.value.reason) == ("ABORTED", "VERSION_MISMATCH")
    assert (await seat.balance()).status == "ACTIVE"


async def test_the_status_of_a_wallet_that_is_not_there_cannot_be_set(api: WalletApi) -> None:
    with pytest.raises(Refused) as caught:
        await api.set_status(new_name("stranger"), "EUR", "CLOSED")

    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "WALLET_NOT_FOUND")


async def test_currencies_are_listed_by_code_with_their_decimals(api: WalletApi) -> None:
    listed = (await api.admin.ListCurrencies(pb.ListCurrenciesRequest())).currencies

    codes = [currency.currency_code for currency in listed]
    assert codes == sorted(codes)
    scales = {currency.currency_code: currency.scale for currency in listed}
    known = {"EUR": 2, "USD": 2, "BRL": 2, "JPY": 0, "KWD": 3, "USDT": 6, "USDC": 6, "BTC": 8, "ETH": 18}
    assert known.items() <= scales.items()


@pytest.mark.parametrize(
    ("field", "currency"),
    [
        ("currency_code", pb.Currency(currency_code="eu", scale=2)),
        ("currency_code", pb.Currency(currency_code="1EU", scale=2)),
        ("currency_code", pb.Currency(currency_code="euro", scale=2)),
        ("currency_code", pb.Currency(currency_code="A" * 13, scale=2)),
        ("scale", pb.Currency(currency_code="BAD", scale=19)),
        ("scale", pb.Currency(currency_code="BAD", scale=-1)),
        ("kind", pb.Currency(currency_code="BAD", kind=pb.CURRENCY_KIND_UNSPECIFIED)),
        ("status", pb.Currency(currency_code="BAD", status=pb.CURRENCY_STATUS_UNSPECIFIED)),
    ],
)
async def test_a_malformed_currency_is_refused(api: WalletApi, field: str, currency: pb.Currency) -> None:
    if field != "kind":
        currency.kind = pb.CURRENCY_KIND_CRYPTO
    if field != "status":
        currency.status = pb.CURRENCY_STATUS_ENABLED

    refusal = await put_currency_refusal(api, currency)

    assert refusal.reason == "INVALID_FIELD"
    assert refusal.details.fields == (f"currency.{field}",)


@pytest.mark.parametrize(
    "source_id", ["", "Games", "games games", "-games", "spiel\u00fc", "g" * 65, "stakehold"]
)
async def test_a_malformed_source_id_is_refused(api: WalletApi, source_id: str) -> None:
    refusal = await put_source_refusal(api, source_id)

    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert refusal.details.fields == ("source.source_id",)


async def test_a_source_gets_the_defaults_spelled_out(api: WalletApi) -> None:
    source = pb.Source(source_id=new_name("games"))

    first = await api.admin.PutSource(pb.PutSourceRequest(source=source))
    again = await api.admin.PutSource(pb.PutSourceRequest(source=source))

    assert (first.created, again.created) == (True, False)
    assert first.source == pb.Source(
        source_id=source.source_id,
        display_name=first.source.display_name,
        status=pb.SOURCE_STATUS_ENABLED,
        settled_rollback=pb.SETTLED_ROLLBACK_POLICY_REFUSE,
        unknown_bet=pb.UNKNOWN_BET_POLICY_REFUSE,
        late_win=pb.LATE_WIN_POLICY_ACCEPT,
        shortfall=pb.SHORTFALL_POLICY_NEGATIVE,
        zero_amount=pb.ZERO_AMOUNT_POLICY_ACCEPT,
        foreign_currency=pb.FOREIGN_CURRENCY_POLICY_REFUSE,
    )


async def test_what_was_answered_before_a_change_of_policy_stays_answered(seat: Seat) -> None:
    await seat.refused(win("w1", "5", of="b1"))
    await seat.one(bet("b0", "0"))

    await seat.api.put_source(seat.source_id, Policies(unknown_bet="ACCEPT", zero_amount="REFUSE"))

    await seat.one(win("w1", "5", of="b1"))
    assert (await seat.one(bet("b0", "0"))).replayed


async def test_a_disabled_source_settles_and_rolls_back_but_starts_nothing(seat: Seat) -> None:
    await seat.play(bet("b1", "10"), bet("b2", "10"))
    await seat.api.put_source(seat.source_id, Policies(status="DISABLED"))

    await seat.one(win("w1", "15", of="b1"))
    await seat.one(rollback("r2", "b2"))
    assert (await seat.one(bet("b1", "10"))).replayed
    for step in (bet("b3", "1"), deposit("d3", "1")):
        assert (await seat.refused(step)).reason == "SOURCE_DISABLED"
    assert await seat.cash() == "105.00"


async def test_a_disabled_currency_opens_no_wallet_and_settles_what_was_played(api: WalletApi) -> None:
    await api.put_currency("SUNSET", Currency(2))
    seat = await seated(api, currency="SUNSET")
    await seat.one(bet("b1", "10", "SUNSET"))
    await api.put_currency("SUNSET", Currency(2, "DISABLED"))

    await seat.one(win("w1", "15", "SUNSET", of="b1"))
    assert (await seat.refused(deposit("d1", "1", "SUNSET"))).reason == "CURRENCY_DISABLED"
    with pytest.raises(Refused) as caught:
        await api.open_wallet(new_name("player"), "SUNSET")
    assert caught.value.reason == "CURRENCY_DISABLED"
    assert await seat.cash("SUNSET") == "105.00"

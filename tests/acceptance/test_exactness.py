"""Money is exact at every size."""

import asyncio
from decimal import Decimal

import pytest

from tests.acceptance.seat import Seat, seated
from tests.reference import Currency
from tests.reference.amounts import decimal_text
from tests.steps import bet, deposit, rollback, win
from tests.wallet_api import WalletApi

LARGEST = 10**36 - 1
EXACT_DOUBLES_END = 2**53
EDGES = sorted(
    {
        edge + offset
        for edge in (10**14, 10**15, 2**52, EXACT_DOUBLES_END, 10**16, 2**63, 2**64, 10**18, 10**30, 10**35)
        for offset in (-1, 0, 1)
    }
)


@pytest.mark.parametrize("minor", EDGES)
async def test_a_unit_more_or_less_is_seen_at_every_edge(api: WalletApi, minor: int) -> None:
    seat = await seated(api, start=str(minor), currency="JPY")

    assert await seat.cash("JPY") == str(minor)
    await seat.one(bet("b1", "1", "JPY"))
    assert await seat.cash("JPY") == str(minor - 1)
    await seat.one(deposit("d1", "2", "JPY"))
    assert await seat.cash("JPY") == str(minor + 1)
    await seat.one(bet("b2", str(minor), "JPY"))
    assert await seat.cash("JPY") == "1"
    refused = await seat.refused(bet("b3", str(minor), "JPY"))
    assert refused.reason == "INSUFFICIENT_FUNDS"
    await seat.one(rollback("r2", "b2"))
    assert await seat.cash("JPY") == str(minor + 1)


async def test_the_largest_balance_is_36_digits_and_one_unit_more_is_refused(api: WalletApi) -> None:
    seat = await seated(api, start=str(LARGEST - 1), currency="JPY")

    await seat.one(deposit("d1", "1", "JPY"))
    refused = await seat.refused(deposit("d2", "1", "JPY"))

    assert refused.reason == "BALANCE_OVERFLOW"
    assert await seat.cash("JPY") == str(LARGEST)
    await seat.one(bet("b1", str(LARGEST), "JPY"))
    assert await seat.cash("JPY") == "0"


async def test_a_satoshi_is_taken_from_a_bitcoin(api: WalletApi) -> None:
    seat = await seated(api, start="1.00000000", currency="BTC")

    await seat.one(bet("b1", "0.00000001", "BTC"))

    assert await seat.cash("BTC") == "0.99999999"


@pytest.mark.parametrize(
    ("start", "stake", "left"),
    [
        ("1", "0.000000000000000001", "0.999999999999999999"),
        ("123456789012345678", "0.000000000000000001", "123456789012345677.999999999999999999"),
        ("9" * 18 + "." + "9" * 18, "9" * 18 + "." + "9" * 17 + "8", "0.000000000000000001"),
        ("0.000000000000000003", "0.000000000000000001", "0.000000000000000002"),
    ],
)
async def test_18_decimals_are_exact(api: WalletApi, start: str, stake: str, left: str) -> None:
    seat = await seated(api, start=start, currency="ETH")

    await seat.one(bet("b1", stake, "ETH"))

    assert await seat.cash("ETH") == left


async def test_negative_balances_are_exact_beyond_doubles(api: WalletApi) -> None:
    minor = EXACT_DOUBLES_END + 1
    seat = await seated(api, start=str(minor), currency="JPY")
    await seat.one(bet("b1", str(minor - 1), "JPY"))

    await Seat(api, "cashier", seat.player_id).one(rollback("back", "start"))

    assert await seat.cash("JPY") == str(1 - minor)
    await seat.one(deposit("d1", str(minor), "JPY"))
    assert await seat.cash("JPY") == "1"


@pytest.mark.parametrize("scale", [0, 1, 3, 6, 18])
async def test_balances_have_exactly_the_decimals_of_their_currency(api: WalletApi, scale: int) -> None:
    code = f"SCALE{scale}"
    await api.put_currency(code, Currency(scale))
    seat = await seated(api, start="7", currency=code)

    assert await seat.cash(code) == decimal_text(7 * 10**scale, scale)


async def test_ten_thousand_wins_of_a_cent_are_a_hundred(seat: Seat) -> None:
    room = asyncio.Semaphore(64)

    async def win_a_cent(number: int) -> None:
        async with room:
            await seat.one(win(f"w{number}", "0.01"))

    await asyncio.gather(*map(win_a_cent, range(10_000)))

    wallet = await seat.balance()
    assert Decimal(wallet.cash) == Decimal("200.00")
    assert wallet.version == 10_002

"""Cases of all kinds as they are listed and asked for."""

import pytest

from tests.acceptance.seat import Seat
from tests.answers import Refused
from tests.cashier_api import CashierApi

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_cases_are_listed_newest_first_page_by_page(desk: CashierApi, seat: Seat) -> None:
    for number in range(5):
        await desk.deposit(f"d{number}")
    await desk.about_deposit("FailDeposit", "d3")

    names, token = [], ""
    while True:
        page = await desk.ask("ListDeposits", player_id=seat.player_id, page_size=2, page_token=token)
        names.append([deposit.deposit_id for deposit in page.deposits])
        token = page.next_page_token
        if not token:
            break
    failed = await desk.ask("ListDeposits", player_id=seat.player_id, states=["DEPOSIT_STATE_FAILED"])

    assert names == [["d4", "d3"], ["d2", "d1"], ["d0"]]
    assert [deposit.deposit_id for deposit in failed.deposits] == ["d3"]
    with pytest.raises(Refused) as refused:
        await desk.ask("ListDeposits", page_token="nonsense")
    assert refused.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("rpc", "fields"),
    [
        ("CreditDeposit", {"deposit_id": "none"}),
        ("GetWithdrawal", {"withdrawal_id": "none"}),
        ("GetCorrection", {"correction_id": "none"}),
    ],
)
async def test_what_is_not_there_is_not_found(desk: CashierApi, rpc: str, fields: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        await desk.ask(rpc, **fields)

    assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "CASE_NOT_FOUND")

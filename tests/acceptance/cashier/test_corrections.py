"""Corrections: one person asks, another one approves, and the original stays."""

import pytest

from tests.acceptance.cashier.desk import entries_of
from tests.acceptance.seat import Seat
from tests.answers import Refused
from tests.cashier_api import (
    CashierApi,
    correction_state,
)
from tests.deployment import Deployment
from tests.steps import bet

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(("amount", "cash"), [("12.34", "112.34"), ("-12.34", "87.66")])
async def test_a_correction_is_booked_once_another_person_approved_and_leaves_the_original(
    desk: CashierApi, seat: Seat, deployment: Deployment, amount: str, cash: str
) -> None:
    done = await seat.one(bet("b1", "0"))
    original = done.entry_id
    name = f"c-{seat.player_id}"
    proposed = await desk.propose(name, amount, corrected_entry_id=original)
    assert correction_state(proposed.correction) == "PROPOSED"
    assert await seat.cash() == "100.00"
    with pytest.raises(Refused) as refused:
        await desk.ask("ApproveCorrection", correction_id=name, approver="alice")
    assert refused.value.reason == "APPROVAL_BY_SAME_PERSON"

    answers = [await desk.ask("ApproveCorrection", correction_id=name, approver="bob") for _ in range(2)]

    assert [correction_state(answer.correction) for answer in answers] == ["APPLIED"] * 2
    assert await seat.cash() == cash
    *_, before, newest = await entries_of(deployment, seat.player_id, 4)
    assert (newest.title, newest.entry_id) == ("Correction Booked", answers[0].correction.entry_id)
    assert before.entry_id == original
    assert dict(newest.metadata) == {
        "stakehold.correction": name,
        "stakehold.state": "applying",
        "stakehold.opened_by": "alice",
        "stakehold.approved_by": "bob",
        "stakehold.reason": "a typo",
        "stakehold.corrects": original,
    }


async def test_a_rejected_correction_moves_nothing_and_is_not_approved_later(
    desk: CashierApi, seat: Seat
) -> None:
    name = f"c-{seat.player_id}"
    await desk.propose(name, "50.00")
    await desk.ask("RejectCorrection", correction_id=name, rejected_by="bob", reason="no")

    with pytest.raises(Refused) as refused:
        await desk.ask("ApproveCorrection", correction_id=name, approver="carol")

    assert refused.value.reason == "INVALID_TRANSITION"
    assert await seat.cash() == "100.00"


async def test_a_correction_of_more_than_there_is_stays_refused(desk: CashierApi, seat: Seat) -> None:
    name = f"c-{seat.player_id}"
    await desk.propose(name, "-100.01")

    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await desk.ask("ApproveCorrection", correction_id=name, approver="bob")
        assert refused.value.reason == "INSUFFICIENT_FUNDS"

    got = await desk.ask("GetCorrection", correction_id=name)
    assert correction_state(got.correction) == "REFUSED"
    assert await seat.cash() == "100.00"


@pytest.mark.parametrize("amount", ["0", "-0", "", "+5", "1e1", "1.234", "--5", " 5"])
async def test_a_malformed_correction_is_refused_with_its_field(desk: CashierApi, amount: str) -> None:
    with pytest.raises(Refused) as refused:
        await desk.propose("c1", amount)

    assert (refused.value.code, refused.value.details.fields) == ("INVALID_ARGUMENT", ("amount",))

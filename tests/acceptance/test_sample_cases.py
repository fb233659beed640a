"""The rules by example, over a real channel."""

from collections.abc import Sequence

import pytest

from tests.acceptance.seat import Seat, seated
from tests.agreement import code_of
from tests.answers import Done, Refused
from tests.reference import Step
from tests.requests import call, transact
from tests.samples import CASES, Case, No, Ok, SetStatus
from tests.wallet_api import WalletApi


@pytest.mark.parametrize("singly", [True, False], ids=["own RPC", "Transact"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_service_follows_the_sample_cases(api: WalletApi, case: Case, *, singly: bool) -> None:
    seat = await seated(api, start=case.start, credit_line=case.credit_line, policies=case.policies)

    for step in case.calls:
        if isinstance(step, SetStatus):
            await api.set_status(seat.player_id, "EUR", step.status)
        else:
            differences = await differences_in(seat, *step, singly=singly)
            assert not differences, step

    wallet = await seat.balance()
    assert (wallet.cash, wallet.receivable, wallet.bonus, wallet.held) == (
        case.cash,
        case.receivable,
        "0.00",
        "0.00",
    )
    assert case.version in (None, wallet.version)


async def differences_in(
    seat: Seat, steps: Sequence[Step], expected: Sequence[Ok] | No, *, singly: bool
) -> list[str]:
    request = (call if singly else transact)(seat.source_id, seat.player_id, steps)
    try:
        results = await seat.api.send(request)
    except Refused as refused:
        return refusal_differences(expected, refused)
    return result_differences(expected, results)


def result_differences(expected: Sequence[Ok] | No, results: Sequence[Done]) -> list[str]:
    if isinstance(expected, No):
        return [f"done: {results}"]
    pairs = zip(expected, results, strict=True)
    return [difference for wanted, result in pairs for difference in wanted.differences(result)]


def refusal_differences(expected: Sequence[Ok] | No, refused: Refused) -> list[str]:
    refusal = refused.details.refusal
    if not isinstance(expected, No) or refusal is None:
        return [f"refused: {refused}"]
    differences = list(expected.differences(refused.reason, refusal))
    if refused.code != code_of(expected.reason):
        differences.append(f"code is {refused.code} instead of {code_of(expected.reason)}")
    return differences

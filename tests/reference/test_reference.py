"""The reference itself, by the sample cases."""

from collections.abc import Sequence

import pytest

from tests.agreement import Agreement
from tests.answers import Balance
from tests.malformed import MALFORMED_AMOUNTS
from tests.reference import CallRefused, Currency, House, Policies, Step
from tests.reference.amounts import minor_units
from tests.samples import CASES, Case, No, Ok, SetStatus
from tests.steps import bet, deposit, rollback, win

AGREEMENT = Agreement({"EUR": 2, "USD": 2})


def house(policies: Policies | None = None) -> House:
    return House(
        currencies={"EUR": Currency(2), "USD": Currency(2)},
        sources={"games": policies or Policies(), "cashier": Policies()},
    )


def eur(reference: House) -> Balance:
    return AGREEMENT.balance(reference.wallets("anna")[0])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reference_follows_the_sample_cases(case: Case) -> None:
    reference = house(case.policies)
    reference.open_wallet("anna", "EUR", credit_line=case.credit_line or "0")
    reference.transact("cashier", "anna", [deposit("start", case.start)])

    for call in case.calls:
        if isinstance(call, SetStatus):
            reference.set_wallet_status("anna", "EUR", status=call.status)
        else:
            assert not differences(reference, *call), call

    wallet = eur(reference)
    assert (wallet.cash, wallet.receivable) == (case.cash, case.receivable)
    assert case.version in (None, wallet.version)


def differences(reference: House, steps: Sequence[Step], expected: Sequence[Ok] | No) -> list[str]:
    try:
        results = reference.transact("games", "anna", steps)
    except CallRefused as error:
        if not isinstance(expected, No):
            return [f"refused: {error}"]
        return list(expected.differences(error.refusal.reason, AGREEMENT.refusal(error.refusal)))
    if isinstance(expected, No):
        return [f"done: {results}"]
    pairs = zip(expected, results, strict=True)
    return [text for wanted, result in pairs for text in wanted.differences(AGREEMENT.done(result))]


@pytest.mark.parametrize(
    ("text", "scale", "minor"),
    [
        ("12.50", 2, 1250),
        ("12.5", 2, 1250),
        ("12", 2, 1200),
        ("007", 2, 700),
        ("0", 0, 0),
        ("0.000000000000000001", 18, 1),
        ("9" * 36, 0, 10**36 - 1),
        ("9" * 18 + "." + "9" * 18, 18, 10**36 - 1),
        ("1" + "0" * 36, 0, None),
        ("9" * 35, 2, None),
        ("10.5", 0, None),
        ("10.500", 2, None),
        *((text, 2, None) for text in MALFORMED_AMOUNTS),
    ],
)
def test_amounts_are_read_exactly_or_not_at_all(text: str, scale: int, minor: int | None) -> None:
    assert minor_units(text, scale) == minor


def test_ids_are_scoped_to_player_and_source() -> None:
    reference = house()
    reference.open_wallet("anna", "EUR")
    reference.open_wallet("boris", "EUR")

    for source in ("games", "cashier"):
        for player in ("anna", "boris"):
            [result] = reference.transact(source, player, [deposit("t1", "5")])
            assert not result.replayed

    assert eur(reference).cash == "10.00"


def test_what_became_of_an_id_is_told() -> None:
    reference = house()
    reference.open_wallet("anna", "EUR")
    reference.transact("games", "anna", [deposit("d1", "5"), bet("b1", "5"), rollback("r1", "b1")])
    reference.transact("games", "anna", [rollback("r2", "b2")])
    with pytest.raises(CallRefused):
        reference.transact("games", "anna", [bet("b3", "9")])
    with pytest.raises(CallRefused):
        reference.transact("games", "anna", [win("w1", "9", of="b9")])

    states = {
        transaction_id: reference.transaction("games", "anna", transaction_id).state.value
        for transaction_id in ("d1", "b1", "r1", "b2", "b3", "w1")
    }
    assert states == {
        "d1": "APPLIED",
        "b1": "ROLLED_BACK",
        "r1": "APPLIED",
        "b2": "TOMBSTONED",
        "b3": "REFUSED",
        "w1": "NOT_SEEN",
    }

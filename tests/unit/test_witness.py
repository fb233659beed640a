"""The witness as it is written in the store, and what is said of one that does not fit."""

from uuid import UUID

import pytest

from persistence.witness import Witness

OURS = UUID("00000000-0000-4000-8000-00000000aaaa")
THEIRS = UUID("00000000-0000-4000-8000-00000000bbbb")
WITNESS = Witness(7, OURS)


def test_a_witness_is_epoch_and_ledger_id() -> None:
    assert str(WITNESS) == f"7 {OURS}"
    assert Witness.parse(str(WITNESS)) == WITNESS


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "7",
        str(OURS),
        "7 ",
        f" {OURS}",
        f"07 {OURS}",
        f"+7 {OURS}",
        f"\u0667 {OURS}",
        f"7  {OURS}",
        f"7\t{OURS}",
        f"7 {OURS} ",
        f"7 {OURS}\n",
        f"7 {str(OURS).upper()}",
        f"7 {OURS.hex}",
        f"7 {{{OURS}}}",
        f"{OURS} 7",
        "9" * 5000,
    ],
)
def test_nothing_else_is_a_witness(text: str) -> None:
    problem = WITNESS.problem(text)

    assert problem is not None
    assert "where an epoch and a ledger should be named" in problem
    assert len(problem) < 200


def test_the_store_of_the_ledger_is_no_problem() -> None:
    assert WITNESS.problem(f"7 {OURS}") is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "the ledger is in epoch 7, but the store has no data"),
        (f"8 {OURS}", "the ledger is in epoch 7, but the store in epoch 8"),
        (f"7 {THEIRS}", f"the ledger is {OURS}, but the store is of another ledger, {THEIRS}"),
        (f"8 {THEIRS}", f"the ledger is {OURS}, but the store is of another ledger, {THEIRS}"),
        (
            "7",
            "the ledger is in epoch 7, but the store has '7' where an epoch and a ledger should be named",
        ),
    ],
)
def test_each_way_not_to_fit_has_its_sentence(found: str | None, said: str) -> None:
    assert WITNESS.problem(found) == said

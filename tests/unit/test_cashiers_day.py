"""The cashier's day is what its generator writes, and has all that a cashier meets with."""

import json
from typing import Any

import pytest

from examples.cashiers_day.__main__ import FILE, day


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text(encoding="ascii").splitlines()]


def test_the_file_is_what_the_generator_writes() -> None:
    assert "".join(day()) == FILE.read_text(encoding="ascii"), "run `python -m examples.cashiers_day`"


def test_the_day_leads_to_every_end_and_has_every_mishap(lines: list[dict[str, Any]]) -> None:
    answers = [allowed for line in lines for allowed in line["expect"]]

    assert {state for answer in answers for state in answer.get("state", ())} >= {
        "CREDITED", "FAILED", "CHARGED_BACK", "PAID", "CANCELLED", "REJECTED", "APPLIED",
    }  # fmt: skip
    assert {answer.get("reason") for answer in answers} >= {
        "INVALID_TRANSITION", "INSUFFICIENT_FUNDS", "APPROVAL_BY_SAME_PERSON",
    }  # fmt: skip
    assert sum("lost" in line for line in lines) > 20
    assert sum("together" in line for line in lines) > 40


def test_some_end_owing_money_and_each_counts_it_last(lines: list[dict[str, Any]]) -> None:
    last = {line["player"]: line for line in lines if line["player"]}
    balances = [next(iter(line["expect"][0]["balances"].values())) for line in last.values()]

    assert {line["rpc"] for line in last.values()} == {"GetWallet"}
    assert any(balance["cash"].startswith("-") for balance in balances)
    assert any(balance["receivable"].strip("0.") for balance in balances)

"""The Saturday's file is what its generator writes, and as eventful as the demo needs; its sums are exact."""

import json
from collections import Counter
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from examples.evening.money import EUR
from examples.saturday.__main__ import FILE, saturday
from examples.saturday.matches import matches
from examples.saturday.slips import Slip
from examples.saturday.sources import KRONA


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text(encoding="ascii").splitlines()]


@pytest.fixture
def in_kronor() -> Slip:
    """A slip whose öre are a third of a cent each."""
    return Slip("s", matches(Random(1))[0], "1", KRONA, Fraction(1, 3))


def test_the_file_is_what_the_generator_writes() -> None:
    assert "".join(saturday()) == FILE.read_text(encoding="ascii"), "run `python -m examples.saturday`"


def test_two_thousand_slips_are_settled_in_the_background(lines: list[dict[str, Any]]) -> None:
    submitted = [len(line["expect"][0]["commands"]) for line in lines if line["rpc"] == "ListResults"]

    assert submitted[0] > 2_000
    assert submitted[1] > 500
    assert len({line["player"] for line in lines}) > 150


def test_the_saturday_has_every_mishap(lines: list[dict[str, Any]]) -> None:
    lost = Counter(line["lost"] for line in lines if "lost" in line)
    answers = [allowed for line in lines for allowed in line["expect"]]
    answers += [command for allowed in answers for command in allowed.get("commands", ())]

    assert lost["dropped"] > 50
    assert lost["cancelled"] > 50
    assert sum("together" in line for line in lines) > 200
    assert {allowed.get("reason") for allowed in answers} >= {
        "BET_ROLLED_BACK",
        "HOLD_EXCEEDED",
        "HOLD_EXPIRED",
        "SLIP_CASHED_OUT",
        "SLIP_MOVED_ON",
        "SLIP_SETTLED",
        "SLIP_VOIDED",
        "STAKE_EXCEEDED",
        "SUBMISSION_ID_CONFLICT",
        "TRANSACTION_ROLLED_BACK",
    }


def test_each_player_ends_with_all_slips_and_balances(lines: list[dict[str, Any]]) -> None:
    by_player: dict[str, list[str]] = {}
    for line in lines:
        by_player.setdefault(line["player"], []).append(line["rpc"])
    del by_player[""]

    assert {tuple(rpcs[-2:]) for rpcs in by_player.values()} == {("ListSlips", "GetWallet")}


def test_settlements_in_another_currency_pay_together_what_their_sum_is_worth(in_kronor: Slip) -> None:
    assert in_kronor.place(100) == -34

    paid = [in_kronor.settle(50, partial=True), in_kronor.settle(50)]

    assert (paid, in_kronor.moved) == ([16, 17], -34 + 33)


def test_what_a_rollback_restores_is_exact(in_kronor: Slip) -> None:
    in_kronor.place(100)
    in_kronor.settle(250)
    settled = in_kronor.copy()
    assert settled.before is not None

    back = in_kronor.restore(settled.before)
    again = in_kronor.restore(settled)

    assert (back, again, in_kronor.moved) == (-83, 83, 83 - 34)


def test_captures_take_what_was_held(in_kronor: Slip) -> None:
    slip = Slip("s", in_kronor.match, "1", EUR)

    assert slip.hold(20) == -20
    assert slip.capture(12) == (0, -12)
    assert slip.release() == 8
    assert (slip.state, slip.staked, slip.moved) == ("OPEN", 12, -12)

"""The evening's file is what its generator writes, and as eventful as the demo needs."""

import json
from collections import Counter
from typing import Any

import pytest

from examples.evening.__main__ import FILE, evening


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text(encoding="ascii").splitlines()]


def test_the_file_is_what_the_generator_writes() -> None:
    assert "".join(evening()) == FILE.read_text(encoding="ascii"), "run `python -m examples.evening`"


def test_two_thousand_calls_of_two_hundred_players_in_six_currencies(lines: list[dict[str, Any]]) -> None:
    opened = {line["request"]["currencyCode"] for line in lines if line["rpc"] == "OpenWallet"}

    assert len(lines) >= 4_000
    assert len({line["player"] for line in lines}) > 200
    assert opened == {"EUR", "USD", "BRL", "USDT", "BTC", "ETH"}


def test_the_evening_has_every_mishap(lines: list[dict[str, Any]]) -> None:
    lost = Counter(line["lost"] for line in lines if "lost" in line)
    reasons = {allowed.get("reason") for line in lines for allowed in line["expect"]}

    assert lost["dropped"] > 50
    assert lost["cancelled"] > 50
    assert sum("together" in line for line in lines) > 200
    assert {"TRANSACTION_ROLLED_BACK", "INSUFFICIENT_FUNDS", "TRANSACTION_ID_CONFLICT"} <= reasons


def test_each_player_ends_with_all_balances(lines: list[dict[str, Any]]) -> None:
    last = {line["player"]: line for line in lines if line["player"]}

    assert {line["rpc"] for line in last.values()} == {"GetWallet"}
    assert all(line["expect"][0]["balances"] for line in last.values())


def test_every_lost_call_is_asked_again(lines: list[dict[str, Any]]) -> None:
    unanswered = {json.dumps(line["request"]) for line in lines if "lost" in line}
    answered = {json.dumps(line["request"]) for line in lines if line["expect"]}

    assert unanswered <= answered

"""Corrections by the command line: one person proposes, another one approves."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest_asyncio

from stakehold.v1 import cashier_service_pb2 as pb
from stakehold.v1.cashier_service_pb2_grpc import CashierServiceStub
from tests.acceptance.seat import Seat
from tests.deployment import Deployment
from tests.operating import Desk, told
from tests.wallet_api import TIMEOUT_S, new_name

if TYPE_CHECKING:  # this exists for type checkers only
    from stakehold.v1.cashier_service_pb2_grpc import CashierServiceAsyncStub


@pytest_asyncio.fixture
async def desk(deployment: Deployment) -> AsyncIterator[Desk]:
    yield Desk(deployment.address)


@pytest_asyncio.fixture
async def cashier(deployment: Deployment) -> AsyncIterator["CashierServiceAsyncStub"]:
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        yield CashierServiceStub(channel)


def proposal(seat: Seat, name: str, amount: str = "-5.00") -> tuple[str, ...]:
    wallet = ("--player", seat.player_id, "--currency", "EUR", "--amount", amount)
    return ("correct", "propose", name, *wallet, "--reason", "paid twice", "--by", "eve")


async def test_a_correction_is_booked_when_another_person_has_approved_it(
    desk: Desk, seat: Seat, cashier: "CashierServiceAsyncStub", deployment: Deployment
) -> None:
    name = new_name("case")

    proposed = (await desk.says(*proposal(seat, name), "--yes", "--output", "json")).document()
    before = await seat.cash()
    same = await desk.says("correct", "approve", name, "--by", "eve", "--yes")
    asked = await desk.says("correct", "approve", name, "--by", "bob", typed="n\n")
    [booked] = (await desk.says("correct", "approve", name, "--by", "bob", "--yes", "--output", "csv")).rows()
    again = (await desk.says("correct", "approve", name, "--by", "bob", "--yes")).lines()

    assert (proposed["correction"]["state"], proposed["replayed"]) == ("CORRECTION_STATE_PROPOSED", False)
    assert before == "100.00"
    assert (same.status, same.output) == (1, "")
    assert same.errors.endswith(" (APPROVAL_BY_SAME_PERSON).\n")
    assert asked.status == 1
    assert f"Book -5.00 EUR of player {seat.player_id}, proposed by eve: paid twice?" in asked.errors
    assert (booked["state"], booked["amount"], booked["author"], booked["approver"]) == (
        "APPLIED", "-5.00", "eve", "bob",
    )  # fmt: skip
    assert ["replayed", "true"] in [line.split() for line in again]
    assert await seat.cash() == "95.00"

    await deployment.require_agreement()
    rows = (
        await desk.says("entries", "--player", seat.player_id, "--kind", "correction", "--output", "csv")
    ).rows()
    assert [(row["entry_id"], row["change_cash"]) for row in rows] == [(booked["entry_id"], "-5.00")]

    request = pb.GetCorrectionRequest(correction_id=name)
    answer = await cashier.GetCorrection(request, timeout=TIMEOUT_S)
    shown = (await desk.says("correct", "show", name, "--output", "json")).document()
    [row] = (await desk.says("correct", "show", name, "--output", "csv", "--part", "correction")).rows()
    said = (await desk.says("correct", "show", name, "--output", "csv", "--part", "messages")).rows()
    lines = (await desk.says("correct", "show", name)).lines()
    assert shown == told(answer)
    assert row["entry_id"] == booked["entry_id"]
    assert [one["told_by"] for one in said] == [message.told_by for message in answer.messages]
    assert lines[0].split() == ["correction_id", name]


async def test_a_correction_is_proposed_once_and_can_be_rejected(desk: Desk, seat: Seat) -> None:
    name = new_name("case")
    await desk.says(*proposal(seat, name), "--yes")

    again = (await desk.says(*proposal(seat, name), "--yes", "--output", "json")).document()
    other = await desk.says(*proposal(seat, name, "6.00"), "--yes")
    reject = ("correct", "reject", name, "--by", "bob", "--reason", "it was once")
    [rejected] = (await desk.says(*reject, "--yes", "--output", "csv")).rows()
    late = await desk.says("correct", "approve", name, "--by", "ann", "--yes")

    assert again["replayed"]
    assert (other.status, other.errors[-20:]) == (1, "(CASE_ID_CONFLICT).\n")
    assert (rejected["state"], rejected["rejection_reason"]) == ("REJECTED", "it was once")
    assert late.status == 1
    assert late.errors.endswith(" (INVALID_TRANSITION).\n")
    assert await seat.cash() == "100.00"


async def test_corrections_are_listed(desk: Desk, seat: Seat, cashier: "CashierServiceAsyncStub") -> None:
    names = [new_name("case") for _ in range(3)]
    for name in names:
        await desk.says(*proposal(seat, name), "--yes")
    await desk.says("correct", "reject", names[1], "--by", "eve", "--reason", "no", "--yes")
    mine = ("correct", "list", "--player", seat.player_id)

    document = (await desk.says(*mine, "--output", "json")).document()
    rows = (await desk.says(*mine, "--state", "proposed", "--output", "csv")).rows()
    lines = (await desk.says(*mine)).lines()
    first = await desk.says(*mine, "--limit", "1", "--output", "json")

    request = pb.ListCorrectionsRequest(player_id=seat.player_id)
    answer = await cashier.ListCorrections(request, timeout=TIMEOUT_S)
    assert document == [told(correction) for correction in answer.corrections]
    assert [row["correction_id"] for row in rows] == [names[2], names[0]]
    assert len(lines) == 4
    assert json.loads(first.output) == document[:1]
    assert first.errors == "stakehold: there may be more corrections than these.\n"


async def test_a_correction_beyond_a_wallets_means_is_refused_with_its_reason(desk: Desk, seat: Seat) -> None:
    name = new_name("case")
    await desk.says(*proposal(seat, name, "-500.00"), "--yes")

    ended = await desk.says("correct", "approve", name, "--by", "bob", "--yes")

    assert (ended.status, ended.output) == (1, "")
    assert ended.errors.endswith(" (INSUFFICIENT_FUNDS).\n")
    assert await seat.cash() == "100.00"


async def test_a_correction_that_is_not_there_is_told_so(desk: Desk) -> None:
    for words in (
        ("show", "none"),
        ("approve", "none", "--by", "bob", "--yes"),
        ("reject", "none", "--by", "bob", "--reason", "x", "--yes"),
    ):
        ended = await desk.says("correct", *words)

        assert (ended.status, ended.output) == (1, "")
        assert ended.errors.endswith(" (CASE_NOT_FOUND).\n")


async def test_a_correction_is_not_proposed_unless_it_is_meant(
    desk: Desk, seat: Seat, cashier: "CashierServiceAsyncStub"
) -> None:
    name = new_name("case")

    ended = await desk.says(*proposal(seat, name), typed="n\n")
    zero = await desk.says(*proposal(seat, name, "0"), "--yes")

    assert ended.status == 1
    assert f"Propose -5.00 EUR for player {seat.player_id}, as eve?" in ended.errors
    assert zero.status == 2
    request = pb.ListCorrectionsRequest(player_id=seat.player_id)
    assert not (await cashier.ListCorrections(request, timeout=TIMEOUT_S)).corrections

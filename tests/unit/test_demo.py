"""The demo must be able to fail: each wrong answer and each broken promise is seen."""

import json
import time
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from service.demo.answers import Answer, Result, Submitted
from service.demo.books import Drain
from service.demo.caller import Sent
from service.demo.expectations import surprise
from service.demo.plays import Json, Line, PlayUnreadable, acts_of, read_play, turns_of
from service.demo.promises import Evidence, promises
from service.demo.report import Size, report
from service.demo.services import methods_of
from service.demo.slips import slips_played
from service.demo.tally import Tally
from stakehold.v1 import (
    ledger_service_pb2,
    money_pb2,
    submission_service_pb2,
    transaction_pb2,
    wallet_service_pb2,
)

APPLIED = {"outcome": ["APPLIED"], "replayed": False, "cash": "90.00"}


def balance(cash: str, *, version: int = 3) -> transaction_pb2.WalletBalance:
    return transaction_pb2.WalletBalance(
        currency_code="EUR", version=version, cash=cash, bonus="0", held="0", receivable="0", credit_line="0"
    )


def result(
    *,
    outcome: str = "APPLIED",
    replayed: bool = False,
    late: bool = False,
    cash: str = "90.00",
    entry: str = "e1",
) -> Result:
    return Result("b1", outcome, replayed, entry, late, balance(cash), balance(cash))


def debit(number: int = 1, expect: tuple[Json, ...] = ()) -> Line:
    request = {"sourceId": "slots", "playerId": "p", "transactionId": "b1"}
    return Line(number, "p", "Debit", request, expect, 0, "")


@pytest.mark.parametrize(
    ("allowed", "answer"),
    [
        ({"code": "OK", "results": [APPLIED]}, Answer("UNAVAILABLE")),
        ({"code": "OK", "results": [APPLIED]}, Answer("OK", results=[result(replayed=True)])),
        ({"code": "OK", "results": [APPLIED]}, Answer("OK", results=[result(outcome="NO_ORIGINAL")])),
        ({"code": "OK", "results": [APPLIED]}, Answer("OK", results=[result(cash="90.01")])),
        ({"code": "OK", "results": [APPLIED]}, Answer("OK", results=[result(late=True)])),
        ({"code": "OK", "results": [APPLIED]}, Answer("OK", results=[])),
        ({"code": "OK", "state": ["REFUSED"]}, Answer("OK", state="APPLIED")),
        ({"code": "OK", "balances": {"EUR": {"cash": "1", "receivable": "0"}}}, Answer("OK")),
        (
            {"code": "OK", "balances": {"EUR": {"cash": "1", "receivable": "0", "version": 4}}},
            Answer("OK", wallets=[balance("1.00", version=3)]),
        ),
        ({"code": "ABORTED", "reason": "VERSION_MISMATCH"}, Answer("ABORTED", reason="OTHER")),
        (
            {"code": "ABORTED", "reason": "R", "cash": "5.00"},
            Answer("ABORTED", reason="R", refusal=transaction_pb2.Refusal(balance=balance("6.00"))),
        ),
        ({"code": "ABORTED", "reason": "R", "step": 1}, Answer("ABORTED", reason="R")),
    ],
)
def test_an_answer_that_is_not_allowed_is_a_surprise(allowed: Json, answer: Answer) -> None:
    assert surprise([allowed], answer, asked_again=False)


@pytest.mark.parametrize("cash", ["90", "90.0", "90.000000"])
def test_amounts_are_compared_as_numbers(cash: str) -> None:
    answer = Answer("OK", results=[result(cash=cash)])

    assert surprise([{"code": "OK", "results": [APPLIED]}], answer, asked_again=False) == ""


def test_one_fitting_alternative_is_enough() -> None:
    allowed: list[Json] = [
        {"code": "ABORTED", "reason": "VERSION_MISMATCH"},
        {"code": "OK", "results": [APPLIED]},
    ]

    assert surprise(allowed, Answer("OK", results=[result()]), asked_again=False) == ""


def test_after_a_retry_the_first_answer_may_be_a_replay() -> None:
    answer = Answer("OK", results=[result(replayed=True)])

    assert surprise([{"code": "OK", "results": [APPLIED]}], answer, asked_again=True) == ""


@pytest.fixture
def evidence() -> Evidence:
    """An evening of one bet on which every promise was kept."""
    tally = Tally(balances_checked=1, versions={("p", "EUR"): {1, 2}})
    tally.take(debit(), Sent(Answer("OK", results=[result()]), 0.001, 0), "")
    zero = ledger_service_pb2.GetTrialBalanceResponse(
        totals=[money_pb2.Money(currency_code="EUR", amount="0.00")]
    )
    return Evidence(
        tally=tally,
        expected_wallets=1,
        drain=Drain(waiting={}, lags_ms=[10.0], caught_up_s=0.1),
        disagreements=[],
        trial_balance=zero,
        findings=[],
        summary=ledger_service_pb2.AuditSummary(entry_count=1),
    )


def broken(evidence: Evidence) -> list[str]:
    return [promise.text.partition(":")[0] for promise in promises(evidence) if not promise.kept]


def test_a_good_evening_keeps_every_promise(evidence: Evidence) -> None:
    assert broken(evidence) == []
    assert "Every promise was kept." in "\n".join(report(Size(1, 32, 1.0), evidence, promises(evidence)))


def test_a_surprising_answer_breaks_a_promise(evidence: Evidence) -> None:
    evidence.tally.take(debit(), Sent(Answer("INTERNAL"), 0.001, 0), "expected OK")

    assert broken(evidence) == ["Every call was answered as it must be"]


def test_an_id_that_was_new_twice_breaks_a_promise(evidence: Evidence) -> None:
    evidence.tally.take(debit(2), Sent(Answer("OK", results=[result()]), 0.001, 0), "")

    assert broken(evidence) == ["Once"]


def test_a_replay_with_another_entry_breaks_a_promise(evidence: Evidence) -> None:
    again = Answer("OK", results=[result(replayed=True, entry="e2")])
    evidence.tally.take(debit(2), Sent(again, 0.001, 0), "")

    assert broken(evidence) == ["Once"]


def test_a_debit_below_the_floor_breaks_a_promise(evidence: Evidence) -> None:
    overdrawn = replace(result(cash="-0.01", entry="e2"), transaction_id="b2", balance_now=None)
    evidence.tally.take(debit(2), Sent(Answer("OK", results=[overdrawn]), 0.001, 0), "")

    assert "Never overspent" in broken(evidence)


def test_a_missing_version_breaks_a_promise(evidence: Evidence) -> None:
    evidence.tally.versions["p", "EUR"] = {1, 3}

    assert broken(evidence) == ["In order"]


def test_the_ledger_and_the_audit_break_promises(evidence: Evidence) -> None:
    missing = Drain(waiting={"p": {"e1"}})
    unbalanced = ledger_service_pb2.GetTrialBalanceResponse(
        totals=[money_pb2.Money(currency_code="EUR", amount="0.01")]
    )
    finding = ledger_service_pb2.Finding(kind=ledger_service_pb2.FINDING_KIND_DRIFT, description="drift")

    assert broken(replace(evidence, drain=missing)) == ["Acked is durable"]
    assert broken(replace(evidence, disagreements=["p EUR"])) == ["Wallet and ledger agree on every balance"]
    assert broken(replace(evidence, trial_balance=unbalanced)) == ["Balanced"]
    assert broken(replace(evidence, findings=[finding])) == ["The audit found nothing"]
    assert broken(replace(evidence, summary=None)) == ["The audit found nothing"]
    assert broken(replace(evidence, expected_wallets=2)) == ["Exact"]


SLIP = {"state": "SETTLED", "staked": "10.00", "live": "10.00", "paid": "25.00"}


def slip(**amounts: str) -> transaction_pb2.Slip:
    """A settled slip of 10.00 that has paid 25.00, unless said otherwise."""
    told = {"staked": "10.00", "live": "10.00", "paid": "25.00", **amounts}
    money = {name: money_pb2.Money(currency_code="EUR", amount=amount) for name, amount in told.items()}
    return transaction_pb2.Slip(slip_id="s", state=transaction_pb2.SLIP_STATE_SETTLED, **money)  # type: ignore[arg-type]


def test_a_slip_that_is_as_played_is_no_surprise() -> None:
    answer = Answer("OK", results=[replace(result(), slip=slip())], slips={"s": slip()})

    assert surprise([{"code": "OK", "results": [APPLIED | {"slip": SLIP}]}], answer, asked_again=False) == ""
    assert surprise([{"code": "OK", "slips": {"s": SLIP}}], answer, asked_again=False) == ""


@pytest.mark.parametrize("wrong", [slip(paid="50.00"), slip(cashed="0.01"), slip(live="9.99"), None])
def test_a_slip_that_is_not_as_played_is_a_surprise(wrong: transaction_pb2.Slip | None) -> None:
    answer = Answer("OK", results=[replace(result(), slip=wrong)], slips={"s": wrong} if wrong else {})

    assert surprise([{"code": "OK", "results": [APPLIED | {"slip": SLIP}]}], answer, asked_again=False)
    assert surprise([{"code": "OK", "slips": {"s": SLIP}}], answer, asked_again=False)


def entry(name: str, cash: str) -> ledger_service_pb2.Entry:
    """A change of the slip s."""
    change = ledger_service_pb2.BucketAmounts(cash=cash, bonus="0.00", held="0.00", receivable="0.00")
    return ledger_service_pb2.Entry(entry_id=name, slip=slip(), change=change)


LISTED = Line(1, "p", "ListSlips", {}, ({"code": "OK", "slips": {"s": SLIP | {"moved": "15.00"}}},), 0, "")


def test_slips_that_moved_what_was_played_keep_the_promise(evidence: Evidence) -> None:
    slips = slips_played([LISTED])
    slips.book("p", [entry("e1", "-10.00"), entry("e2", "25.00")])

    assert broken(replace(evidence, slips=slips)) == []
    assert "1 slips has moved" in promises(replace(evidence, slips=slips))[-1].text


@pytest.mark.parametrize("planted", [[], ["25.00", "25.00"], ["24.99"]])
def test_a_settlement_that_was_lost_doubled_or_changed_breaks_a_promise(
    evidence: Evidence, planted: list[str]
) -> None:
    slips = slips_played([LISTED])
    settlements = [entry(f"w{number}", cash) for number, cash in enumerate(planted)]
    slips.book("p", [entry("e1", "-10.00"), *settlements])

    assert broken(replace(evidence, slips=slips)) == ["Slips"]


def test_a_slip_that_nobody_played_breaks_a_promise(evidence: Evidence) -> None:
    slips = slips_played([LISTED])
    slips.book("p", [entry("e1", "15.00")])
    slips.book("q", [entry("e2", "0.00")])

    assert broken(replace(evidence, slips=slips)) == ["Slips"]


def submitted(*results: Result, dead: int = 0) -> Tally:
    """What is remembered of a submission of two commands, the second of which must be refused."""
    tally = Tally(balances_checked=1, versions={("p", "EUR"): {1, 2, 3}})
    refusal = Answer("FAILED_PRECONDITION", reason="SLIP_VOIDED")
    answers = [Answer("OK", results=[each]) for each in results] + [refusal]
    commands = [Submitted("book", "p", f"w{number}", answer) for number, answer in enumerate(answers)]
    expect: list[Json] = [
        {"code": "OK", "results": [APPLIED]},
        {"code": "FAILED_PRECONDITION", "reason": "SLIP_VOIDED"},
    ]
    counts = submission_service_pb2.Submission(
        receipt=submission_service_pb2.SubmissionReceipt(command_count=2), dead_count=dead
    )
    followed = Line(1, "", "GetSubmission", {}, ({"code": "OK"},), 0, "")
    listed = Line(2, "", "ListResults", {}, ({"code": "OK", "commands": expect},), 0, "")
    tally.take(followed, Sent(Answer("OK", submission=counts), 0.001, 0), "")
    tally.take(listed, Sent(Answer("OK", commands=commands), 0.001, 0), "")
    return tally


def test_commands_that_were_decided_as_they_must_be_keep_the_promise(evidence: Evidence) -> None:
    assert broken(replace(evidence, tally=submitted(result()))) == []


@pytest.mark.parametrize(
    "tally",
    [submitted(result(cash="115.00")), submitted(result(outcome="NO_ORIGINAL")), submitted(result(), dead=1)],
)
def test_a_command_that_was_decided_otherwise_breaks_a_promise(evidence: Evidence, tally: Tally) -> None:
    assert "Submitted" in broken(replace(evidence, tally=tally))


def test_the_operators_lines_part_a_play_into_acts() -> None:
    lines = [replace(debit(), player=player) for player in ("", "", "p", "q", "", "p")]

    assert [[line.player for line in act] for act in acts_of(lines)] == [["", ""], ["p", "q"], [""], ["p"]]


async def test_times_are_counted_from_when_a_line_is_sent() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        hold = methods_of(channel)["Hold"]
    before = time.time()

    moved, stays = (
        hold.request({"expireTime": told, "context": {"occurredTime": told}})
        for told in ("+5s", "2026-02-21T12:00:00Z")
    )

    assert isinstance(moved, wallet_service_pb2.HoldRequest)
    assert isinstance(stays, wallet_service_pb2.HoldRequest)
    assert before + 4 < moved.expire_time.ToNanoseconds() / 1e9 <= time.time() + 5
    assert moved.context.occurred_time.seconds - moved.expire_time.seconds in (0, 1)
    assert stays.expire_time.ToJsonString() == "2026-02-21T12:00:00Z"


def test_lines_sent_together_are_one_turn() -> None:
    lines = [
        replace(debit(number), together=group) for number, group in enumerate((0, 0, 7, 7, 8, 0), start=1)
    ]

    turns = turns_of(lines)["p"]

    assert [[line.number for line in turn] for turn in turns] == [[1], [2], [3, 4], [5], [6]]


def test_a_submission_is_played_under_other_names_too(tmp_path: Path) -> None:
    file = tmp_path / "saturday.jsonl"
    commands = [{"settleSlip": {"playerId": "p", "slipId": "s"}}]
    request = {"submissionId": "whistle", "commands": commands}
    file.write_text(json.dumps({"player": "", "rpc": "Submit", "request": request, "expect": []}) + "\n")

    (line,) = read_play(file, player_suffix="-again")

    assert line.request["submissionId"] == "whistle-again"
    assert line.request["commands"] == [{"settleSlip": {"playerId": "p-again", "slipId": "s"}}]


def test_an_evening_can_be_played_under_other_names(tmp_path: Path) -> None:
    file = tmp_path / "evening.jsonl"
    file.write_text('{"player": "p", "rpc": "GetWallet", "request": {"playerId": "p"}, "expect": []}\n')

    (line,) = read_play(file, player_suffix="-again")

    assert (line.player, line.request["playerId"]) == ("p-again", "p-again")


@pytest.mark.parametrize("content", ["", "not json\n", '{"player": "p"}\n', None])
def test_a_file_that_is_no_evening_is_refused_with_a_sentence(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "evening.jsonl"
    if content is not None:
        file.write_text(content)

    with pytest.raises(PlayUnreadable, match=r"evening\.jsonl"):
        read_play(file)

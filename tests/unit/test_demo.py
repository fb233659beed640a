"""The demo must be able to fail: each wrong answer and each broken promise is seen."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.demo.answers import Answer, Result
from service.demo.books import Drain
from service.demo.caller import Sent
from service.demo.expectations import surprise
from service.demo.plays import Json, Line, PlayUnreadable, read_play, turns_of
from service.demo.promises import Evidence, promises
from service.demo.report import Size, report
from service.demo.tally import Tally
from stakehold.v1 import ledger_service_pb2, money_pb2, transaction_pb2

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


def test_lines_sent_together_are_one_turn() -> None:
    lines = [
        replace(debit(number), together=group) for number, group in enumerate((0, 0, 7, 7, 8, 0), start=1)
    ]

    turns = turns_of(lines)["p"]

    assert [[line.number for line in turn] for turn in turns] == [[1], [2], [3, 4], [5], [6]]


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

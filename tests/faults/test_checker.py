"""The checker finds each breach that is planted in an honest play, and nothing in the play itself."""

from dataclasses import replace

import pytest

from tests.answers import Done
from tests.faults.books import Amounts, Place
from tests.faults.checker import violations
from tests.faults.checks.case import Breach, Death, Loss
from tests.faults.history import Answered
from tests.faults.honest import (
    BET,
    BIG_BET,
    EARLY_UNDO,
    ENTRIES,
    LATE_BET,
    NOT_DONE,
    UNDO,
    Honest,
    done,
    entry,
    honest,
    refused,
    shown,
)
from tests.reference import House
from tests.steps import bet, win

LATE_WIN = win("w1", "1.00", of="b1")
FIRST_BET, REPLAY, SECOND_REPLAY, UNDONE, LATE, BIG = 1, 2, 3, 4, 6, 7


@pytest.fixture
def play() -> Honest:
    return honest()


def found(play: Honest) -> set[Breach]:
    return {violation.breach for violation in violations(play.case())}


def test_an_honest_play_breaks_nothing(play: Honest) -> None:
    assert list(violations(play.case())) == []


def test_an_acknowledged_transaction_that_is_not_in_the_ledger_is_lost(play: Honest) -> None:
    play.entries = play.entries[:2]
    lost = [str(violation) for violation in violations(play.case()) if violation.breach is Breach.LOST]
    assert len(lost) == 3
    assert "ada/slots/b1" in lost[0]


def test_an_id_with_two_entries_is_doubled(play: Honest) -> None:
    play.entries.append(
        entry(9, "b1", kind="bet", amount=1000, version=5, change=Amounts(-1000), after=Amounts(9000))
    )
    assert Breach.DOUBLED in found(play)


def test_an_id_that_was_answered_as_new_twice_is_doubled(play: Honest) -> None:
    for index in (REPLAY, SECOND_REPLAY):
        play.change_answer(index, lambda answer: replace(answer, replayed=False))
    assert found(play) == {Breach.DOUBLED}


def test_an_entry_of_another_amount_than_was_asked_differs(play: Honest) -> None:
    play.change_entry("b1", amount=2000)
    assert Breach.ENTRY_DIFFERS in found(play)


def test_an_entry_under_another_id_than_was_answered_differs(play: Honest) -> None:
    play.change_entry("b1", place=Place(0, 1, 2, 7))
    assert Breach.ENTRY_DIFFERS in found(play)


def test_an_answer_with_another_balance_than_the_ledger_s_is_wrong(play: Honest) -> None:
    play.change_answer(UNDONE, lambda answer: replace(answer, after=shown(4, 9999), now=shown(4, 9999)))
    assert found(play) == {Breach.WRONG_BALANCE}


def test_a_balance_that_is_not_the_sum_of_changes_is_wrong(play: Honest) -> None:
    play.change_entry("b1", change=Amounts(-900))
    assert Breach.WRONG_BALANCE in found(play)


def test_a_version_that_is_missing_is_a_gap(play: Honest) -> None:
    play.drop_entry("b1")
    assert Breach.VERSION_GAP in found(play)


def test_a_call_that_is_shown_an_older_wallet_than_an_earlier_one_inverts_the_order(play: Honest) -> None:
    play.ask(BET, Answered((replace(done(BET, 2, shown(3, 9000)), replayed=True),)))
    assert Breach.ORDER_INVERTED in found(play)


def test_a_transaction_with_an_older_version_than_was_shown_before_it_was_sent_inverts_the_order(
    play: Honest,
) -> None:
    """The bet is first sent when its rollback, of a later version, has long been answered."""
    bets = [FIRST_BET, REPLAY, SECOND_REPLAY]
    for index in bets:
        attempt = play.attempts[index]
        play.attempts[index] = replace(
            attempt, called_s=attempt.called_s + 100, returned_s=attempt.returned_s + 100
        )
    assert Breach.ORDER_INVERTED in found(play)


def test_overlapping_calls_may_be_decided_in_any_order(play: Honest) -> None:
    undone = play.attempts[UNDONE]
    play.attempts[UNDONE] = replace(undone, called_s=play.attempts[FIRST_BET].called_s)
    play.attempts[SECOND_REPLAY] = replace(play.attempts[SECOND_REPLAY], returned_s=undone.returned_s + 1)
    assert found(play) == set()


@pytest.mark.parametrize(
    "change", [{"booked_ns": 77}, {"late": True}, {"after": shown(3, 8000)}, {"entry_id": "0-1-9-0"}]
)
def test_a_replay_that_differs_from_the_first_answer_is_found(
    play: Honest, change: dict[str, object]
) -> None:
    def changed(answer: Done) -> Done:
        return replace(answer, **change)  # type: ignore[arg-type]

    play.change_answer(SECOND_REPLAY, changed)
    assert Breach.REPLAY_DIFFERS in found(play)


def test_a_refused_id_that_moved_money_is_found(play: Honest) -> None:
    play.change_entry(
        "b3",
        type="applied",
        refusal_reason="",
        version=5,
        change=Amounts(-100000),
        after=Amounts(-90000),
    )
    assert Breach.REFUSED_MOVED in found(play)


def test_a_remembered_refusal_that_the_ledger_does_not_know_is_found(play: Honest) -> None:
    play.drop_entry("b3")
    assert found(play) == {Breach.REFUSAL_LOST}


def test_a_refusal_for_funds_that_were_there_is_wrong(play: Honest) -> None:
    cheap = bet("b3", "99")
    answer = refused(cheap, "INSUFFICIENT_FUNDS", place="0-1-5-0", balance=shown(4, 10000))
    call = replace(play.attempts[BIG].call, steps=(cheap,))
    play.attempts[BIG] = replace(play.attempts[BIG], call=call, answer=answer)
    play.change_entry("b3", amount=9900)
    assert found(play) == {Breach.REFUSAL_WRONG, Breach.RULES}


def test_a_refusal_with_a_balance_that_the_wallet_never_had_is_found(play: Honest) -> None:
    answer = refused(BIG_BET, "INSUFFICIENT_FUNDS", place="0-1-5-0", balance=shown(4, 4711))
    play.answer(BIG, answer)
    assert found(play) == {Breach.WRONG_BALANCE}


def test_a_conflict_without_another_payload_is_wrong(play: Honest) -> None:
    play.ask(BET, refused(BET, "TRANSACTION_ID_CONFLICT"))
    assert found(play) == {Breach.REFUSAL_WRONG}


def test_a_refusal_as_rolled_back_without_a_rollback_is_wrong(play: Honest) -> None:
    deposited = play.attempts[0].call.steps[0]
    play.ask(deposited, refused(deposited, "TRANSACTION_ROLLED_BACK"))
    assert found(play) == {Breach.REFUSAL_WRONG}


def test_what_was_never_done_must_not_be_in_the_ledger(play: Honest) -> None:
    for index in (FIRST_BET, REPLAY, SECOND_REPLAY):
        play.answer(index, NOT_DONE)
    assert found(play) == {Breach.NOT_DONE_MOVED}


def test_a_replay_of_what_was_never_done_but_in_attempts_that_did_nothing_is_found(play: Honest) -> None:
    play.answer(FIRST_BET, NOT_DONE)
    assert found(play) == {Breach.NOT_DONE_MOVED}


def test_an_unknown_answer_may_have_been_applied_or_not(play: Honest) -> None:
    for index in (REPLAY, SECOND_REPLAY):
        play.answer(index, play.attempts[FIRST_BET].answer)
    assert found(play) == set()


def test_what_nobody_sent_must_not_be_in_the_ledger(play: Honest) -> None:
    play.entries.append(
        entry(9, "b7", kind="bet", amount=1000, version=5, change=Amounts(-1000), after=Amounts(9000))
    )
    assert found(play) == {Breach.NEVER_SENT, Breach.RULES}


def test_a_rollback_that_gives_back_less_is_inexact(play: Honest) -> None:
    play.change_entry("x1", change=Amounts(900), after=Amounts(9900))
    assert Breach.ROLLBACK_INEXACT in found(play)


def test_a_forestalled_id_that_is_applied_all_the_same_violates_its_tombstone(play: Honest) -> None:
    play.entries.append(
        entry(9, "b2", kind="bet", amount=500, version=5, change=Amounts(-500), after=Amounts(9500))
    )
    play.answer(LATE, Answered((replace(done(LATE_BET, 9, shown(5, 9500))),)))
    assert {Breach.TOMBSTONE_VIOLATED, Breach.RULES} <= found(play)


def test_a_rolled_back_bet_that_is_answered_ok_afterwards_is_found(play: Honest) -> None:
    after, now = shown(3, 9000), shown(4, 10000)
    play.ask(BET, Answered((replace(done(BET, 2, after), now=now, replayed=True),)))
    assert found(play) == {Breach.TOMBSTONE_VIOLATED}


def settle_what_was_rolled_back(play: Honest) -> None:
    play.ask(LATE_WIN, Answered((done(LATE_WIN, 9, shown(5, 10100)),)))
    win = entry(9, "w1", operation="credit", kind="win", amount=100, version=5, reference="b1")
    play.entries.append(replace(win, change=Amounts(100), after=Amounts(10100), outcome="applied"))


def test_a_win_for_a_bet_that_was_rolled_back_violates_the_rollback(play: Honest) -> None:
    settle_what_was_rolled_back(play)
    assert {Breach.TOMBSTONE_VIOLATED, Breach.RULES} <= found(play)


def test_a_win_that_was_cut_off_before_the_rollback_may_be_booked_again_after_it(play: Honest) -> None:
    settle_what_was_rolled_back(play)
    play.booked_again = {"w1"}
    assert found(play) == set()


def test_a_bet_that_is_rolled_back_twice_is_doubled(play: Honest) -> None:
    again = replace(UNDO, transaction_id="x9")
    fields = {"operation": "rollback", "kind": "bet", "amount": 1000, "reference": "b1"}
    play.entries.append(entry(9, "x9", **fields, version=5, change=Amounts(1000), after=Amounts(11000)))
    play.ask(again, Answered((done(again, 9, shown(5, 11000)),)))
    assert {Breach.DOUBLED, Breach.RULES} == found(play)


def test_a_hot_wallet_that_is_not_the_ledger_s_is_found(play: Honest) -> None:
    case = play.case()
    [wallet] = case.books.hot
    case.books.hot[wallet] = (5, Amounts(1))
    assert {violation.breach for violation in violations(case)} == {Breach.HOT_DIFFERS}


def test_a_wallet_of_the_ledger_that_the_service_does_not_know_is_found(play: Honest) -> None:
    case = play.case()
    case.books.hot.clear()
    assert {violation.breach for violation in violations(case)} == {Breach.HOT_DIFFERS}


def test_the_rules_are_broken_by_entries_in_an_order_that_cannot_have_been(play: Honest) -> None:
    play.change_entry("b3", place=Place(0, 1, 5, 0), refusal_reason="WALLET_FROZEN")
    balance = shown(4, 10000)
    play.answer(BIG, refused(BIG_BET, "WALLET_FROZEN", place="0-1-5-0", balance=balance))
    assert found(play) == {Breach.RULES}


def lose_what_came_after_the_deposit(play: Honest) -> None:
    play.entries = play.entries[:2]
    play.losses = (Loss(20.0, 21.0),)


def test_a_loss_that_was_made_on_purpose_must_be_named(play: Honest) -> None:
    lose_what_came_after_the_deposit(play)
    play.named_lost = {"b1": 2, "x1": 3}
    assert [violation.what for violation in violations(play.case())] == [
        "ada/slots/x2, answered as 0-1-4-0, and nobody says so"
    ]


def test_a_loss_that_was_made_on_purpose_and_named_is_no_breach(play: Honest) -> None:
    lose_what_came_after_the_deposit(play)
    play.named_lost = {"b1": 2, "x1": 3, "x2": 4}
    assert found(play) == set()


def test_what_only_a_server_knew_that_died_soon_after_the_loss_cannot_be_named(play: Honest) -> None:
    lose_what_came_after_the_deposit(play)
    play.deaths = (Death(0, 22.0),)
    assert found(play) == set()
    play.deaths = (Death(1, 22.0),)
    assert found(play) == {Breach.LOST}


def test_what_is_lost_and_then_taken_again_need_not_be_named(play: Honest) -> None:
    again = replace(play.entries[2], place=Place(0, 2, 0, 0))
    lose_what_came_after_the_deposit(play)
    play.entries.append(again)
    play.named_lost = {"x1": 3, "x2": 4}
    assert found(play) == set()


def test_what_is_lost_and_then_refused_must_be_named(play: Honest) -> None:
    fields = {"kind": "bet", "amount": 1000, "refusal_reason": "WALLET_FROZEN"}
    lose_what_came_after_the_deposit(play)
    play.entries.append(replace(entry(0, "b1", type="refused", **fields), place=Place(0, 2, 0, 0)))
    play.named_lost = {"x1": 3, "x2": 4}
    assert Breach.LOST in found(play)


def test_what_is_named_as_lost_and_is_there_is_named_in_vain(play: Honest) -> None:
    lose_what_came_after_the_deposit(play)
    play.named_lost = {"b1": 2, "x1": 3, "x2": 4, "d1": 1}
    assert found(play) == {Breach.NAMED_IN_VAIN}


def test_what_is_acknowledged_after_a_loss_may_not_be_lost(play: Honest) -> None:
    lose_what_came_after_the_deposit(play)
    play.losses = (Loss(0.9, 0.95),)
    play.named_lost = {"b1": 2, "x1": 3, "x2": 4}
    assert Breach.LOST in found(play)


def cut_off_and_book_again_what_came_after_the_deposit(play: Honest) -> None:
    """Two bets and a rollback of something unknown were one call: now each is a record of its own."""
    lose_what_came_after_the_deposit(play)
    steps = (BET, bet("b4", "95"), EARLY_UNDO)
    call = replace(play.attempts[FIRST_BET].call, steps=steps)
    play.attempts = [play.attempts[0], replace(play.attempts[FIRST_BET], call=call)]
    play.entries += [
        entry(0, "b1", kind="bet", amount=1000, version=3, change=Amounts(-1000), after=Amounts(9000)),
        entry(1, "b4", kind="bet", amount=9500, version=4, change=Amounts(-9500), after=Amounts(-500)),
        entry(2, "x2", type="no_movement", operation="rollback", kind="rollback", reference="b2"),
        entry(3, "b2", type="tombstone"),
    ]
    play.change_entry("x2", currency="", outcome="no_original")
    for name, sequence in (("b1", 0), ("b4", 1), ("x2", 2), ("b2", 3)):
        play.change_entry(name, place=Place(0, 2, sequence, 0))
    play.booked_again = {"b1", "b4", "x2", "b2"}


def test_what_was_cut_off_may_be_booked_again_step_by_step_and_below_the_floor(play: Honest) -> None:
    cut_off_and_book_again_what_came_after_the_deposit(play)
    assert found(play) == set()


def test_steps_that_nobody_says_were_booked_again_are_against_the_rules(play: Honest) -> None:
    cut_off_and_book_again_what_came_after_the_deposit(play)
    play.booked_again = set()
    assert found(play) == {Breach.RULES}


def test_what_is_booked_again_with_another_amount_is_against_the_rules(play: Honest) -> None:
    cut_off_and_book_again_what_came_after_the_deposit(play)
    play.change_entry("b4", amount=100)
    assert Breach.RULES in found(play)


def test_a_check_that_fails_does_not_pass(play: Honest, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise KeyError("no such wallet")

    monkeypatch.setattr(House, "transact", failing)
    assert found(play) == {Breach.UNCHECKED}


def test_an_empty_play_has_shown_nothing() -> None:
    assert found(Honest([], list(ENTRIES))) == {Breach.UNCHECKED, Breach.NEVER_SENT, Breach.RULES}
    play = honest()
    play.entries = []
    assert Breach.UNCHECKED in found(play)

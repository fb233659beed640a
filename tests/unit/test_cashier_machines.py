"""Every message in every state: it leads to a state, repeats what was said, or is refused by name."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from persistence.cashier.cases import (
    Case,
    CaseKind,
    CaseName,
    CaseState,
    Message,
    References,
    Told,
)
from persistence.cashier.machines import (
    CONTRADICTIONS,
    MESSAGES,
    MOVES,
    STATES,
    UNDERTAKINGS,
    Standing,
    decide,
    finished,
    given_up,
    moved,
)
from persistence.transactions import CurrencyCode, PlayerId

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)

# What each message leads to in each state where nothing was accepted before: a state, "-": what is under way
# is finished first, "x": refused, "!": refused and raised for review.
DEPOSITS = """
                pending  credit     fail    charge_back    expire
created         pending  crediting  failed  !              expired
pending         x        crediting  failed  !              x
crediting       -        -          -       -              -
credited        x        x          !       charging_back  x
failed          x        !          x       !              x
expired         x        !          x       !              x
charging_back   -        -          -       -              -
charged_back    x        x          !       x              x
refused         x        x          !       !              x
"""
WITHDRAWALS = """
                approve   reject     sent  paid    fail     cancel
holding         -         -          -     -       -        -
requested       approved  rejecting  !     !       x        cancelling
approved_once   approved  rejecting  !     !       x        cancelling
approved        x         x          sent  paying  failing  cancelling
sent            x         x          x     paying  failing  x
paying          -         -          -     -       -        -
paid            x         x          x     x       !        x
rejecting       -         -          -     -       -        -
rejected        x         x          !     !       x        x
failing         -         -          -     -       -        -
failed          x         x          !     !       x        x
cancelling      -         -          -     -       -        -
cancelled       x         x          !     !       x        x
giving_up       -         -          -     -       -        -
refused         x         x          !     !       x        x
"""
CORRECTIONS = """
                approve   reject
proposed        applying  rejected
applying        -         -
applied         x         x
rejected        x         x
giving_up       -         -
refused         x         x
"""
WORDS = {"-": Standing.UNFINISHED, "x": Standing.REFUSED, "!": Standing.CONTRADICTED}
Row = tuple[CaseKind, CaseState, Message, CaseState | Standing]


def rows(kind: CaseKind, table: str) -> list[Row]:
    head, *lines = table.strip().splitlines()
    messages = [Message(word) for word in head.split()]
    found: list[Row] = []
    for line in lines:
        state, *words = line.split()
        for message, word in zip(messages, words, strict=True):
            verdict = WORDS[word] if word in WORDS else CaseState(word)
            found.append((kind, CaseState(state), message, verdict))
    return found


ROWS = [
    *rows(CaseKind.DEPOSIT, DEPOSITS),
    *rows(CaseKind.WITHDRAWAL, WITHDRAWALS),
    *rows(CaseKind.CORRECTION, CORRECTIONS),
]


def case(kind: CaseKind, state: CaseState, *accepted: Message, **changes: Any) -> Case:
    made = Case(
        number=1,
        name=CaseName(kind, "payments", "c1"),
        player_id=PlayerId("ada"),
        partition=0,
        currency=CurrencyCode("EUR"),
        amount=6000,
        is_debit=False,
        state=state,
        accepted=(Message.OPEN, *accepted),
        attempt=0,
        needs_second_approval=False,
        opened_by="ada",
        first_approver="",
        second_approver="",
        reason="",
        ending_reason="",
        corrected_entry_id="",
        references=References(),
        refusal="",
        opening_entry_id="",
        closing_entry_id="",
        expires_time=None,
        tries=0,
        created_time=NOON,
        changed_time=NOON,
    )
    return replace(made, **changes)


def told(message: Message, by: str = "bob", **changes: Any) -> Told:
    return replace(Told(message, by), **changes)


def test_the_tables_have_every_state_and_every_message() -> None:
    wanted = {
        (kind, state, message) for kind in CaseKind for state in STATES[kind] for message in MESSAGES[kind]
    }

    assert {row[:3] for row in ROWS} == wanted
    assert len(ROWS) == len(wanted)
    assert set(MOVES) | CONTRADICTIONS <= wanted


@pytest.mark.parametrize(
    ("kind", "state", "message", "verdict"), ROWS, ids=lambda part: getattr(part, "value", str(part))
)
def test_each_message_in_each_state(
    kind: CaseKind, state: CaseState, message: Message, verdict: CaseState | Standing
) -> None:
    assert decide(case(kind, state), told(message)) == verdict


@pytest.mark.parametrize(("kind", "state", "message", "verdict"), ROWS)
def test_what_was_accepted_before_is_a_repeat_in_every_state_where_nothing_is_under_way(
    kind: CaseKind, state: CaseState, message: Message, verdict: CaseState | Standing
) -> None:
    accepted = case(kind, state, message, first_approver="bob")

    repeated = decide(accepted, told(message))

    if state in UNDERTAKINGS:
        assert repeated is Standing.UNFINISHED
    elif message is Message.APPROVE and state is CaseState.APPROVED_ONCE:
        assert repeated is Standing.SAME_PERSON
    else:
        assert repeated is Standing.REPEATED


@pytest.mark.parametrize(
    "otherwise",
    [
        {"amount": 6001, "currency": CurrencyCode("EUR")},
        {"amount": 6000, "currency": CurrencyCode("USD")},
        {"references": References(tx_hash="0xother")},
    ],
)
@pytest.mark.parametrize("state", [CaseState.SENT, CaseState.PAID])
def test_a_payment_of_another_amount_or_transaction_contradicts(
    otherwise: dict[str, Any], state: CaseState
) -> None:
    known = case(CaseKind.WITHDRAWAL, state, Message.PAID, references=References(tx_hash="0xone"))

    assert decide(known, told(Message.PAID, **otherwise)) is Standing.CONTRADICTED


def test_what_is_learned_on_the_way_is_kept_and_contradicts_nothing() -> None:
    sent = case(CaseKind.WITHDRAWAL, CaseState.SENT, references=References(chain="tron"))
    paid = told(Message.PAID, references=References(tx_hash="0x1"))

    assert decide(sent, paid) is CaseState.PAYING
    assert moved(sent, paid, CaseState.PAYING).references == References(chain="tron", tx_hash="0x1")


@pytest.mark.parametrize(
    ("person", "verdict"), [("ada", Standing.SAME_PERSON), ("bob", CaseState.APPROVED_ONCE)]
)
def test_above_the_limit_a_first_approval_waits_for_a_second(
    person: str, verdict: CaseState | Standing
) -> None:
    wanted = case(CaseKind.WITHDRAWAL, CaseState.REQUESTED, needs_second_approval=True)

    assert decide(wanted, told(Message.APPROVE, person)) == verdict


@pytest.mark.parametrize(
    ("person", "verdict"),
    [
        ("ada", Standing.SAME_PERSON),
        ("bob", Standing.SAME_PERSON),
        ("carol", CaseState.APPROVED),
    ],
)
def test_the_second_approval_is_neither_the_requesters_nor_the_first_ones(
    person: str, verdict: CaseState | Standing
) -> None:
    waiting = case(
        CaseKind.WITHDRAWAL,
        CaseState.APPROVED_ONCE,
        Message.APPROVE,
        needs_second_approval=True,
        first_approver="bob",
    )

    assert decide(waiting, told(Message.APPROVE, person)) == verdict


def test_an_author_cannot_approve_the_own_correction() -> None:
    proposed = case(CaseKind.CORRECTION, CaseState.PROPOSED)

    assert decide(proposed, told(Message.APPROVE, "ada")) is Standing.SAME_PERSON


@pytest.mark.parametrize("state", UNDERTAKINGS)
def test_what_is_under_way_ends_in_a_state_of_its_kind_with_the_entry_on_record(state: CaseState) -> None:
    kinds = [kind for kind in CaseKind if state in STATES[kind]]

    ended = finished(case(kinds[0], state), "0-1-1-0")

    assert all(ended.state in STATES[kind] for kind in kinds)
    assert ended.state not in UNDERTAKINGS
    assert "0-1-1-0" in (ended.opening_entry_id, ended.closing_entry_id)


def test_a_refused_chargeback_may_be_tried_again_under_another_id() -> None:
    credited = case(CaseKind.DEPOSIT, CaseState.CREDITED, Message.CREDIT)
    message = told(Message.CHARGE_BACK)
    first = moved(credited, message, CaseState.CHARGING_BACK)

    refused = given_up(first, "INSUFFICIENT_FUNDS", CaseState.CREDITED)

    assert decide(refused, message) is CaseState.CHARGING_BACK
    assert moved(refused, message, CaseState.CHARGING_BACK).attempt == 2
    assert decide(refused, told(Message.CREDIT)) is Standing.REPEATED

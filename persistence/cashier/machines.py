"""Which message leads a case from which state to which. The only place that knows.

Checked in this order:

1. something is under way: it is finished first, and the message is looked at again;
2. the message says otherwise than what is known (another amount, another transaction on the chain);
3. it was accepted before: it is a repeat;
4. the state does not allow it;
5. who approves must be somebody else.

What a payment service says against what is known contradicts it: a person has to look. Other messages that a
state does not allow are merely late, or somebody else was faster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from persistence.cashier.cases import Case, CaseKind, CaseState, Message, Told

_S, _M = CaseState, Message
_D, _W, _C = CaseKind.DEPOSIT, CaseKind.WITHDRAWAL, CaseKind.CORRECTION


class Standing(Enum):
    """What becomes of a message that moves nothing."""

    UNFINISHED = auto()
    REPEATED = auto()
    REFUSED = auto()
    CONTRADICTED = auto()
    """Refused, and a person has to look."""
    SAME_PERSON = auto()


@dataclass(frozen=True, slots=True)
class Undertaking:
    """Where it leads once the wallet has done it, and where the wallet refuses it for good; None: it stays
    under way, for it has to be done.
    """

    done: CaseState
    refused: CaseState | None


UNDERTAKINGS: Mapping[CaseState, Undertaking] = {
    _S.CREDITING: Undertaking(_S.CREDITED, _S.REFUSED),
    _S.CHARGING_BACK: Undertaking(_S.CHARGED_BACK, _S.CREDITED),
    _S.HOLDING: Undertaking(_S.REQUESTED, _S.REFUSED),
    _S.PAYING: Undertaking(_S.PAID, None),
    _S.REJECTING: Undertaking(_S.REJECTED, None),
    _S.FAILING: Undertaking(_S.FAILED, None),
    _S.CANCELLING: Undertaking(_S.CANCELLED, None),
    _S.APPLYING: Undertaking(_S.APPLIED, _S.REFUSED),
    _S.GIVING_UP: Undertaking(_S.REFUSED, None),
}

FIRST_STATES = {_D: _S.CREATED, _W: _S.HOLDING, _C: _S.PROPOSED}

MESSAGES: Mapping[CaseKind, tuple[Message, ...]] = {
    _D: (_M.PENDING, _M.CREDIT, _M.FAIL, _M.CHARGE_BACK, _M.EXPIRE),
    _W: (_M.APPROVE, _M.REJECT, _M.SENT, _M.PAID, _M.FAIL, _M.CANCEL),
    _C: (_M.APPROVE, _M.REJECT),
}

STATES: Mapping[CaseKind, tuple[CaseState, ...]] = {
    _D: (
        _S.CREATED, _S.PENDING, _S.CREDITING, _S.CREDITED, _S.FAILED, _S.EXPIRED, _S.CHARGING_BACK,
        _S.CHARGED_BACK, _S.REFUSED,
    ),
    _W: (
        _S.HOLDING, _S.REQUESTED, _S.APPROVED_ONCE, _S.APPROVED, _S.SENT, _S.PAYING, _S.PAID, _S.REJECTING,
        _S.REJECTED, _S.FAILING, _S.FAILED, _S.CANCELLING, _S.CANCELLED, _S.GIVING_UP,
        _S.REFUSED,
    ),
    _C: (_S.PROPOSED, _S.APPLYING, _S.APPLIED, _S.REJECTED, _S.GIVING_UP, _S.REFUSED),
}  # fmt: skip

MOVES: Mapping[tuple[CaseKind, CaseState, Message], CaseState] = {
    (_D, _S.CREATED, _M.PENDING): _S.PENDING,
    (_D, _S.CREATED, _M.CREDIT): _S.CREDITING,
    (_D, _S.CREATED, _M.FAIL): _S.FAILED,
    (_D, _S.CREATED, _M.EXPIRE): _S.EXPIRED,
    (_D, _S.PENDING, _M.CREDIT): _S.CREDITING,
    (_D, _S.PENDING, _M.FAIL): _S.FAILED,
    (_D, _S.CREDITED, _M.CHARGE_BACK): _S.CHARGING_BACK,
    (_W, _S.REQUESTED, _M.APPROVE): _S.APPROVED,
    (_W, _S.REQUESTED, _M.REJECT): _S.REJECTING,
    (_W, _S.REQUESTED, _M.CANCEL): _S.CANCELLING,
    (_W, _S.APPROVED_ONCE, _M.APPROVE): _S.APPROVED,
    (_W, _S.APPROVED_ONCE, _M.REJECT): _S.REJECTING,
    (_W, _S.APPROVED_ONCE, _M.CANCEL): _S.CANCELLING,
    (_W, _S.APPROVED, _M.SENT): _S.SENT,
    (_W, _S.APPROVED, _M.PAID): _S.PAYING,
    (_W, _S.APPROVED, _M.FAIL): _S.FAILING,
    (_W, _S.APPROVED, _M.CANCEL): _S.CANCELLING,
    (_W, _S.SENT, _M.PAID): _S.PAYING,
    (_W, _S.SENT, _M.FAIL): _S.FAILING,
    (_C, _S.PROPOSED, _M.APPROVE): _S.APPLYING,
    (_C, _S.PROPOSED, _M.REJECT): _S.REJECTED,
}

_NOT_APPROVED = (_S.REQUESTED, _S.APPROVED_ONCE)
_GIVEN_BACK = (_S.REJECTED, _S.FAILED, _S.CANCELLED, _S.REFUSED)

CONTRADICTIONS = frozenset(
    {
        # Money came in for what had been given up.
        *((_D, state, _M.CREDIT) for state in (_S.FAILED, _S.EXPIRED)),
        *((_D, state, _M.FAIL) for state in (_S.CREDITED, _S.CHARGED_BACK, _S.REFUSED)),
        # What was not credited cannot be charged back.
        *(
            (_D, state, _M.CHARGE_BACK)
            for state in (_S.CREATED, _S.PENDING, _S.FAILED, _S.EXPIRED, _S.REFUSED)
        ),
        # Money went out, or is about to, that nobody has approved, or that was given back.
        *((_W, state, _M.SENT) for state in (*_NOT_APPROVED, *_GIVEN_BACK)),
        *((_W, state, _M.PAID) for state in (*_NOT_APPROVED, *_GIVEN_BACK)),
        (_W, _S.PAID, _M.FAIL),
    }
)

_SERVICES_SAY = frozenset((_M.PENDING, _M.CREDIT, _M.FAIL, _M.CHARGE_BACK, _M.SENT, _M.PAID))


def decide(case: Case, told: Told) -> CaseState | Standing:
    """The state that the message leads to, or why it leads to none."""
    if case.state in UNDERTAKINGS:
        return Standing.UNFINISHED
    if says_otherwise(case, told):
        return Standing.CONTRADICTED
    if is_repeated(case, told):
        return Standing.REPEATED
    state = MOVES.get((case.name.kind, case.state, told.message))
    if state is None:
        contradicts = (case.name.kind, case.state, told.message) in CONTRADICTIONS
        return Standing.CONTRADICTED if contradicts else Standing.REFUSED
    if told.message is _M.APPROVE:
        return _approved(case, told, state)
    return state


def moved(case: Case, told: Told, state: CaseState) -> Case:
    """The case after a message that leads to the state."""
    is_approval = told.message is _M.APPROVE
    return replace(
        case,
        state=state,
        accepted=tuple(dict.fromkeys((*case.accepted, told.message))),
        attempt=case.attempt + (told.message is _M.CHARGE_BACK),
        first_approver=case.first_approver or (told.by if is_approval else ""),
        second_approver=told.by if is_approval and case.first_approver else case.second_approver,
        ending_reason=told.reason or case.ending_reason,
        references=case.references.merged(told.references),
        refusal="",
    )


def finished(case: Case, entry_id: str) -> Case:
    """The case once the wallet has done what was under way."""
    is_first = case.state in (_S.CREDITING, _S.HOLDING, _S.APPLYING)
    return replace(
        case,
        state=UNDERTAKINGS[case.state].done,
        refusal=case.refusal if case.state is _S.GIVING_UP else "",
        opening_entry_id=entry_id if is_first else case.opening_entry_id,
        closing_entry_id=case.closing_entry_id if is_first else entry_id,
    )


def given_up(case: Case, refusal: str, state: CaseState) -> Case:
    """The case once the wallet has refused what was under way. A chargeback may be tried again."""
    accepted = tuple(message for message in case.accepted if message is not _M.CHARGE_BACK)
    return replace(case, state=state, refusal=refusal, accepted=accepted)


def says_otherwise(case: Case, told: Told) -> bool:
    """Whether a payment service names another amount or payment than is known."""
    if told.message not in _SERVICES_SAY:
        return False
    other_amount = told.amount is not None and (told.amount, told.currency) != (case.amount, case.currency)
    return other_amount or told.references.contradict(case.references)


def is_repeated(case: Case, told: Told) -> bool:
    """Whether the message was accepted before; an approval also from whom. Who approved first, and approves
    again where a second person has to, repeats nothing: it takes somebody else.
    """
    if told.message is not _M.APPROVE:
        return told.message in case.accepted
    return told.by in case.approvers and case.state is not _S.APPROVED_ONCE


def _approved(case: Case, told: Told, state: CaseState) -> CaseState | Standing:
    if told.by in (case.opened_by, *case.approvers):
        return Standing.SAME_PERSON
    if case.needs_second_approval and not case.first_approver:
        return _S.APPROVED_ONCE
    return state

"""Calls that collide: few ids, rounds and amounts, so that whatever can meet does."""

from dataclasses import replace

from hypothesis import strategies as st

from tests.reference import Credit, Debit, Money, Policies, Rollback, SlipChange, SlipOpening, Step
from tests.reference.amounts import decimal_text
from tests.reference.steps import CREDIT_KINDS, DEBIT_KINDS

SCALES = {"EUR": 2, "USD": 2, "JPY": 0, "ETH": 18, "VARY": 3}
"""VARY is this machine's own: its status changes while it is used. Nobody opens a USD wallet at first."""

STANDING = {
    "default": Policies(),
    "lenient": Policies(settled_rollback="ALLOW", unknown_bet="ACCEPT", shortfall="CLAMP"),
    "strict": Policies(late_win="REFUSE", shortfall="REJECT", zero_amount="REFUSE"),
}
VARYING = "varying"
"""The source whose policies change while it calls."""

statuses = st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "DEBITS_FROZEN", "CLOSED"])
currency_statuses = st.sampled_from(["ENABLED", "ENABLED", "NO_NEW_DEBITS", "DISABLED"])

ids = st.integers(1, 30).map(lambda number: f"t{number}")
sources = st.sampled_from([*STANDING, VARYING])
players = st.sampled_from(["anna", "anna", "anna", "anna", "boris"])
currencies = st.sampled_from(["EUR", "EUR", "EUR", "EUR", "EUR", "EUR", "JPY", "ETH", "VARY", "VARY", "USD"])

policies = st.builds(
    Policies,
    status=st.sampled_from(["ENABLED"] * 9 + ["DISABLED"]),
    settled_rollback=st.sampled_from(["REFUSE", "ALLOW"]),
    unknown_bet=st.sampled_from(["REFUSE", "ACCEPT"]),
    late_win=st.sampled_from(["ACCEPT", "REFUSE"]),
    shortfall=st.sampled_from(["NEGATIVE", "CLAMP", "REJECT"]),
    zero_amount=st.sampled_from(["ACCEPT", "ACCEPT", "REFUSE"]),
)

_minor_units = st.one_of(
    st.sampled_from([1000, 1000, 1000, 2500, 7000, 0, 1]),
    st.integers(0, 20_000),
    st.sampled_from([10**15 - 1, 10**15, 2**53 - 1, 2**53, 2**53 + 1, 10**35, 10**36 - 1]),
    st.integers(0, 10**36 - 1),
)


@st.composite
def money(draw: st.DrawFn, minor_units: st.SearchStrategy[int] = _minor_units) -> Money:
    """An amount in any of the ways in which it can be written."""
    currency = draw(currencies)
    text = decimal_text(draw(minor_units), SCALES[currency])
    spelling = draw(st.sampled_from(["full", "full", "short", "long"]))
    if spelling == "short" and "." in text:
        text = text.rstrip("0").rstrip(".")
    return Money(currency, f"00{text}" if spelling == "long" else text)


_rounds = st.sampled_from(
    [("", ""), ("", ""), ("r1", "g1"), ("r1", "g1"), ("r1", ""), ("r2", "g1"), ("", "g1")]
)
rounds = st.sampled_from([("r1", "g1"), ("r1", "g1"), ("r1", ""), ("r2", "g1"), ("r3", "g1")])
_references = st.one_of(st.just(""), ids, ids)
CURRENT = 0
"""As an expected version: whichever the wallet has when the call is sent."""
expected_versions = st.sampled_from([None, None, None, None, None, CURRENT, 1, 5])
_closes = st.sampled_from([False, False, False, True])


@st.composite
def debits(draw: st.DrawFn) -> Debit:
    kind = draw(
        st.one_of(st.just("BET"), st.just("BET"), st.just("BET"), st.sampled_from(sorted(DEBIT_KINDS)))
    )
    return Debit(draw(ids), kind, *draw(_movements()))


@st.composite
def any_credits(draw: st.DrawFn) -> Credit:
    kind = draw(
        st.one_of(st.just("WIN"), st.just("WIN"), st.just("WIN"), st.sampled_from(sorted(CREDIT_KINDS)))
    )
    return Credit(draw(ids), kind, *draw(_movements()))


@st.composite
def _movements(draw: st.DrawFn) -> tuple[Money, str, str, str, bool, int | None]:
    amount = draw(money())
    round_id, game_id = draw(_rounds)
    close_round = bool(round_id) and draw(_closes)
    return amount, round_id, game_id, draw(_references), close_round, draw(expected_versions)


@st.composite
def rollbacks(draw: st.DrawFn) -> Rollback:
    amount = draw(st.one_of(st.none(), st.none(), st.none(), money()))
    round_id, game_id = draw(st.sampled_from([("", ""), ("", ""), ("r1", "g1")]))
    return Rollback(draw(ids), draw(ids), amount, round_id, game_id)


steps: st.SearchStrategy[Step] = st.one_of(debits(), any_credits(), rollbacks())
calls = st.one_of(
    st.lists(steps, min_size=1, max_size=1),
    st.lists(steps, min_size=1, max_size=1),
    st.lists(steps, min_size=2, max_size=5),
)


Change = str
"""The name of a field that a payload is made of."""

changes = st.sampled_from(["amount", "currency", "round_id", "game_id", "reference", "kind", "operation"])


def changed(step: Step, change: Change) -> Step:
    """The same id with another payload, or, where the step has no such field, the same step."""
    match step:
        case Rollback():
            return _changed_rollback(step, change)
        case SlipOpening():
            return _changed_opening(step, change)
        case SlipChange():
            return _changed_slip_change(step, change)
        case Debit() | Credit():
            return _changed_movement(step, change)


def _changed_rollback(step: Rollback, change: Change) -> Step:
    match change:
        case "reference":
            return replace(step, original_transaction_id=f"{step.original_transaction_id}-")
        case "amount":
            return replace(step, money=None if step.money else Money("EUR", "10"))
        case "round_id" | "game_id":
            return _played_elsewhere(step, change)
        case _:
            return step


def _played_elsewhere(step: Debit | Credit | Rollback, change: Change) -> Step:
    if change == "round_id":
        return replace(step, round_id=f"{step.round_id}-")
    return replace(step, game_id=f"{step.game_id}-")


def _changed_opening(step: SlipOpening, change: Change) -> Step:
    match change:
        case "game_id":
            return replace(step, game_id=f"{step.game_id}-")
        case "kind" if step.operation == "HOLD":
            return replace(step, kind="WITHDRAWAL" if step.kind == "BET" else "BET")
        case "amount":
            return replace(step, money=Money(step.money.currency, "11"))
        case "operation":
            return Rollback(step.transaction_id, "another")
        case _:
            return replace(step, expires_s=None)


def _changed_slip_change(step: SlipChange, change: Change) -> Step:
    match change:
        case "reference":
            return replace(step, slip_id=f"{step.slip_id}-")
        case "kind" if step.operation in {"CAPTURE", "SETTLE"}:
            return replace(step, is_last=not step.is_last)
        case "amount" if step.money is not None:
            return replace(step, money=Money(step.money.currency, "11"))
        case "operation":
            return Rollback(step.transaction_id, "another")
        case _:
            return step


def _changed_movement(step: Debit | Credit, change: Change) -> Step:
    match change:
        case "round_id" | "game_id":
            return _played_elsewhere(step, change)
        case "amount":
            return replace(step, money=Money(step.money.currency, "11"))
        case "currency":
            return replace(step, money=Money("EUR" if step.money.currency == "USD" else "USD", "10"))
        case "reference":
            return replace(step, reference_transaction_id=f"{step.reference_transaction_id}-")
        case "kind":
            return replace(step, kind="CORRECTION")
        case _:
            return Rollback(step.transaction_id, "another")

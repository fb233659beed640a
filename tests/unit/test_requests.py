"""Calls as the scripts read them, and what identifies a step's payload."""

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from persistence.calls import (
    Call,
    ForeignCurrencyPolicy,
    LateWinPolicy,
    SessionFault,
    SettledRollbackPolicy,
    ShortfallPolicy,
    Source,
    SourceStatus,
    Step,
    UnknownBetPolicy,
    ZeroAmountPolicy,
)
from persistence.slips import SlipTerms
from persistence.transactions import (
    CurrencyCode,
    Operation,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
)
from persistence.valkey.requests import fingerprint_of, id_field, transact_arguments
from service.embedded import EmbeddedValkey
from tests.lua_includes import include

PLAYER = PlayerId("p1")
TERMS = SlipTerms(is_final=True, expires_ms=1700000000002)
BET = Step(
    Operation.DEBIT,
    TransactionKind.BET,
    TransactionId("b1"),
    CurrencyCode("EUR"),
    1250,
    currency_status="no_new_debits",
    game="g1",
    round="r1",
    reference="x1",
    closes_round=True,
    expected_version=7,
    occurred_ms=1700000000001,
    metadata='{"k":"v"}',
    wallet_currency=CurrencyCode("USD"),
    terms=TERMS,
    session_fault=SessionFault.OVER,
)
UNDO = Step(Operation.ROLLBACK, TransactionKind.ROLLBACK, TransactionId("u1"), None, None, reference="b1")
SOURCE = Source(
    SourceId("games"),
    "Games",
    SourceStatus.DISABLED,
    SettledRollbackPolicy.ALLOW,
    UnknownBetPolicy.ACCEPT,
    LateWinPolicy.REFUSE,
    ShortfallPolicy.CLAMP,
    ZeroAmountPolicy.REFUSE,
    ForeignCurrencyPolicy.CONVERT,
)
READ_CALL = (
    include("steps")
    + """
read_steps()
local function pairs_of(table)
  local reply = {}
  for name, value in pairs(table) do
    if type(value) ~= 'table' then
      reply[#reply + 1], reply[#reply + 2] = name, value
    end
  end
  return reply
end
local reply = { pairs_of(call) }
for _, step in ipairs(call.steps) do
  reply[#reply + 1] = pairs_of(step)
end
return reply
"""
)

COVERED = {
    "operation": Operation.CREDIT,
    "kind": TransactionKind.TIP,
    "currency": CurrencyCode("USD"),
    "amount": 1251,
    "game": "g2",
    "round": "r2",
    "reference": "x2",
    "wallet_currency": CurrencyCode("BRL"),
    "terms": SlipTerms(stake=5),
}
FREE = {
    "transaction_id": TransactionId("b2"),
    "currency_status": "enabled",
    "closes_round": False,
    "expected_version": None,
    "occurred_ms": None,
    "metadata": "",
    "offer": "USD;enabled;!RATE_STALE",
    "session_fault": None,
}

ids = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=4)
Parts = tuple[str, str, str]


@pytest.fixture(scope="module")
def store(valkey: EmbeddedValkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


def read_by_lua(store: "redis.Redis", call: Call) -> list[dict[str, object]]:
    """The call, and then each of its steps, as the scripts understand their arguments."""
    reply = store.eval(READ_CALL, 0, "1 x", *transact_arguments(call))
    assert isinstance(reply, list)
    return [dict(zip(table[0::2], table[1::2], strict=True)) for table in reply]


def test_lua_reads_each_argument_where_python_wrote_it(store: "redis.Redis") -> None:
    called, bet, undo = read_by_lua(store, Call(PLAYER, SOURCE, (BET, UNDO)))

    assert called == {
        "witness": "1 x",
        "player": "p1",
        "source": "games",
        "settled_rollback": "allow",
        "unknown_bet": "accept",
        "late_win": "refuse",
        "shortfall": "clamp",
        "zero_amount": "refuse",
        "source_status": "disabled",
    }
    assert bet == {
        "index": 0,
        "operation": "debit",
        "kind": "bet",
        "id": "b1",
        "fingerprint": fingerprint_of(PLAYER, BET),
        "currency": "EUR",
        "amount": "1250",
        "currency_status": "no_new_debits",
        "game": "g1",
        "round": "r1",
        "reference": "x1",
        "closes_round": "1",
        "expected_version": "7",
        "occurred_ms": "1700000000001",
        "metadata": '{"k":"v"}',
        "wallet": "USD",
        "converts": "1",
        "offer": "",
        "terms": str(TERMS),
        "session_fault": "over",
        "is_debit": 1,
    }
    assert undo["index"] == 1
    assert undo["terms"] == undo["session_fault"] == ""
    assert (undo["id"], undo["reference"]) == ("u1", "b1")
    assert {
        undo[name] for name in ("currency", "amount", "closes_round", "expected_version", "metadata")
    } == {""}


def test_lua_reads_sixteen_steps_in_their_order(store: "redis.Redis") -> None:
    steps = tuple(replace(BET, transaction_id=TransactionId(f"b{number}")) for number in range(16))

    _, *read = read_by_lua(store, Call(PLAYER, SOURCE, steps))

    assert [step["id"] for step in read] == [step.transaction_id for step in steps]
    assert [step["index"] for step in read] == list(range(16))


def test_a_fingerprint_is_short_printable_text_and_always_the_same() -> None:
    fingerprint = fingerprint_of(PLAYER, BET)

    assert fingerprint == fingerprint_of(PlayerId("p1"), replace(BET))
    assert len(fingerprint) == 22
    assert fingerprint.isascii()
    assert fingerprint.isprintable()


def test_the_fingerprint_of_a_stored_payload_never_changes() -> None:
    plain = replace(BET, wallet_currency=None, terms=None)

    assert fingerprint_of(PLAYER, plain) == "oDwI40mMNxb4RYHwzICv4w"


@pytest.mark.parametrize("field", COVERED)
def test_another_payload_under_an_id_has_another_fingerprint(field: str) -> None:
    other = replace(BET, **{field: COVERED[field]})  # type: ignore[arg-type]

    assert fingerprint_of(PLAYER, other) != fingerprint_of(PLAYER, BET)


def test_another_players_step_has_another_fingerprint() -> None:
    assert fingerprint_of(PlayerId("p2"), BET) != fingerprint_of(PLAYER, BET)


@pytest.mark.parametrize("field", FREE)
def test_what_a_retry_may_change_is_not_in_the_fingerprint(field: str) -> None:
    retry = replace(BET, **{field: FREE[field]})  # type: ignore[arg-type]

    assert fingerprint_of(PLAYER, retry) == fingerprint_of(PLAYER, BET)


@pytest.mark.parametrize(
    ("terms", "same"),
    [
        (replace(TERMS, expires_ms=None), True),
        (replace(TERMS, is_final=False), False),
        (replace(TERMS, stake=1), False),
        (None, False),
    ],
)
def test_a_retry_may_say_another_deadline_but_no_other_terms(terms: SlipTerms | None, same: bool) -> None:
    other = replace(BET, terms=terms)

    assert (fingerprint_of(PLAYER, other) == fingerprint_of(PLAYER, BET)) is same


def test_every_field_of_a_step_is_either_in_the_fingerprint_or_free() -> None:
    assert {field.name for field in fields(Step)} == {*COVERED, *FREE}


def test_a_rollback_with_an_amount_of_zero_is_not_one_that_names_none() -> None:
    named = replace(UNDO, currency=CurrencyCode("EUR"), amount=0)

    assert fingerprint_of(PLAYER, named) != fingerprint_of(PLAYER, UNDO)


@given(texts=st.tuples(ids, ids, ids), others=st.tuples(ids, ids, ids))
def test_no_part_of_a_payload_can_pose_as_another(texts: Parts, others: Parts) -> None:
    step, other = (
        replace(BET, game=game, round=round_, reference=reference)
        for game, round_, reference in (texts, others)
    )

    assert (fingerprint_of(PLAYER, step) == fingerprint_of(PLAYER, other)) is (texts == others)


def test_an_id_is_stored_under_its_source() -> None:
    assert id_field(SourceId("games"), TransactionId("b1")) == "games\x1fb1"

"""Every reason for which a call is not done is reached, with its code and the metadata that it promises."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from stakehold.v1 import error_reason_pb2, ledger_service_pb2
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused, refused
from tests.deployment import Deployment
from tests.reference import Currency, Policies
from tests.steps import at_version, bet, closing, deposit, rollback, win
from tests.waiting import until
from tests.wallet_api import WalletApi, new_name

if TYPE_CHECKING:  # this exists for type checkers only
    from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceAsyncStub

TESTS = Path(__file__).parents[1]

FINAL = "FAILED_PRECONDITION"

ELSEWHERE = {
    "UNAUTHENTICATED": "integration/test_callers",
    "SOURCE_NOT_PERMITTED": "acceptance/test_grants",
    "VERB_NOT_PERMITTED": "acceptance/test_grants",
    **dict.fromkeys(
        ("OUTCOME_UNKNOWN", "STORE_UNAVAILABLE", "PARTITION_FENCED"),
        "acceptance/test_store_failures",
    ),
    "INCARNATION_CHANGED": "integration/test_batcher_incarnations, integration/cluster/test_failovers",
    "LEDGER_UNAVAILABLE": "acceptance/test_store_failures",
    "OVERLOADED": "acceptance/test_store_failures, integration/test_admission, integration/test_rate_limits",
    "STOPPING": "integration/test_shutdown",
    "DEADLINE_EXCEEDED": "acceptance/test_store_failures",
    **dict.fromkeys(
        ("RATE_UNKNOWN", "RATE_STALE", "RATE_HELD", "CURRENCY_DEPEGGED"),
        "integration/fx/test_conversions_of_now",
    ),
    **dict.fromkeys(
        (
            "WALLET_AMBIGUOUS",
            "AMOUNT_TOO_SMALL",
            "QUOTE_EXPIRED",
            "QUOTE_USED",
            "QUOTE_INVALID",
            "QUOTE_OF_ANOTHER_PLAYER",
            "QUOTE_SIDE_MISMATCH",
            "QUOTE_AMOUNT_MISMATCH",
        ),
        "integration/fx/test_play_in_other_currencies",
    ),
    "PAIR_UNKNOWN": "integration/fx/test_fx_service",
    "RATE_NOT_FOUND": "integration/fx/test_fx_service, integration/fx/test_rate_history",
    "RATE_NOT_HELD": "integration/fx/test_held_rates",
    "SAME_PERSON": "integration/fx/test_held_rates",
    "INVALID_TRANSITION": "acceptance/cashier/test_deposits, acceptance/cashier/test_withdrawals",
    "CASE_NOT_FOUND": "acceptance/cashier/test_cases",
    "CASE_ID_CONFLICT": "acceptance/cashier/test_deposits",
    "APPROVAL_BY_SAME_PERSON": "acceptance/cashier/test_withdrawals, acceptance/cashier/test_corrections",
    "SUBMISSION_ID_CONFLICT": "acceptance/test_submitting",
    "SUBMISSION_NOT_FOUND": "acceptance/test_submitting",
    **dict.fromkeys(
        ("CURSOR_INVALID", "CURSOR_NOT_IN_LEDGER", "SUBSCRIBER_STALLED"),
        "integration/test_events",
    ),
    "ROUND_NOT_FOUND": "acceptance/test_round_service",
    **dict.fromkeys(
        (
            "HOLD_CLOSED",
            "HOLD_RELEASED",
            "HOLD_EXPIRED",
            "HOLD_EXCEEDED",
            "SLIP_NOT_PLACED",
            "SLIP_SETTLED",
            "SLIP_NOT_SETTLED",
            "SLIP_VOIDED",
            "SLIP_NOT_VOIDED",
            "SLIP_CASHED_OUT",
            "STAKE_EXCEEDED",
            "SLIP_MOVED_ON",
            "SLIP_NOT_FOUND",
        ),
        "acceptance/test_slip_service",
    ),
    "HOLD_NOT_DUE": "integration/test_slips",
    "PROVIDER_NOT_FOUND": "integration/providers/test_records",
    "SESSION_NOT_FOUND": "integration/providers/test_sessions",
    "SESSION_CONFLICT": "integration/providers/test_sessions",
    **dict.fromkeys(
        ("SESSION_UNKNOWN", "SESSION_OVER", "SESSION_MISMATCH"),
        "integration/providers/test_session_faults",
    ),
    "REVIEW_NOT_FOUND": "acceptance/test_round_service",
    "REVIEW_RESOLVED": "integration/test_sweeping_bets",
    "INTERNAL": "integration/test_server",
}
"""Reasons that only a broken infrastructure causes, rates or streams, and where they are reached."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to cause a reason: the code that it has, the metadata that come with it, and the calls."""

    code: str
    metadata: frozenset[str]
    cause: Callable[[WalletApi, Deployment], Awaitable[Refused]]


WAYS: dict[str, Way] = {}


def way(
    reason: str, code: str = FINAL, *, metadata: tuple[str, ...] = ()
) -> Callable[[Callable[[WalletApi, Deployment], Awaitable[Refused]]], None]:
    def remember(cause: Callable[[WalletApi, Deployment], Awaitable[Refused]]) -> None:
        WAYS[reason] = Way(code, frozenset(metadata), cause)

    return remember


@pytest.mark.parametrize("reason", error_reason_pb2.ErrorReason.keys()[1:])
async def test_the_reason_is_given(api: WalletApi, deployment: Deployment, reason: str) -> None:
    reason = reason.removeprefix("ERROR_REASON_")
    if reason in ELSEWHERE:
        assert reason not in WAYS
        return
    known = WAYS[reason]

    got = await known.cause(api, deployment)

    assert (got.reason, got.code) == (reason, known.code), got
    assert known.metadata <= set(got.details.metadata), got
    assert got.details.message


def test_no_way_is_left_for_a_reason_that_is_gone() -> None:
    names = [name.removeprefix("ERROR_REASON_") for name, _ in error_reason_pb2.ErrorReason.items()]

    assert set(WAYS) | set(ELSEWHERE) <= set(names)


@pytest.mark.parametrize(("reason", "files"), ELSEWHERE.items(), ids=list(ELSEWHERE))
def test_what_is_shown_elsewhere_is(reason: str, files: str) -> None:
    exception = "".join(word.capitalize() for word in reason.split("_"))
    for name in files.split(", "):
        text = (TESTS / f"{name}.py").read_text(encoding="utf-8")
        assert re.search(rf"\b({reason}|{exception})\b", text), name


@way("INVALID_FIELD", "INVALID_ARGUMENT")
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api)).refused(bet("b1", "-1"))


@way("CURRENCY_UNKNOWN", "INVALID_ARGUMENT", metadata=("currency_code",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api)).refused(bet("b1", "1", "XYZ"))


@way("SOURCE_NOT_FOUND", "NOT_FOUND", metadata=("source_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    return await Seat(api, new_name("stranger"), seat.player_id).refused(bet("b1", "1"))


@way("WALLET_NOT_FOUND", "NOT_FOUND", metadata=("player_id", "currency_code"))
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api)).refused(bet("b1", "1", "USD"))


@way("REFERENCE_NOT_FOUND", "NOT_FOUND", metadata=("reference_transaction_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api)).refused(win("w1", "1", of="b1"))


@way("TRANSACTION_ID_CONFLICT", "ALREADY_EXISTS", metadata=("transaction_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.one(bet("b1", "1"))
    return await seat.refused(bet("b1", "2"))


@way("TRANSACTION_ROLLED_BACK", metadata=("transaction_id", "related_transaction_id"))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.one(rollback("r1", "b1"))
    return await seat.refused(bet("b1", "2"))


@way("BET_ROLLED_BACK", metadata=("reference_transaction_id", "related_transaction_id"))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.play(bet("b1", "1"), rollback("r1", "b1"))
    return await seat.refused(win("w1", "2", of="b1"))


@way("BET_REFUSED", metadata=("reference_transaction_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.refused(bet("b1", "101"))
    return await seat.refused(win("w1", "2", of="b1"))


@way("BET_SETTLED", metadata=("related_transaction_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.play(bet("b1", "1"), win("w1", "2", of="b1"))
    return await seat.refused(rollback("r1", "b1"))


@way("REFERENCE_MISMATCH", metadata=("reference_transaction_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.one(deposit("d1", "1"))
    return await seat.refused(win("w1", "2", of="d1"))


@way("AMOUNT_MISMATCH", metadata=("related_transaction_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.one(bet("b1", "1"))
    return await seat.refused(rollback("r1", "b1", "2"))


@way("NOT_REVERSIBLE", metadata=("related_transaction_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.play(bet("b1", "1"), rollback("r1", "b1"))
    return await seat.refused(rollback("r2", "r1"))


@way("ROUND_CLOSED", metadata=("round_id", "game_id"))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await seat.one(closing(bet("b1", "1", round_id="r1", game_id="g1")))
    return await seat.refused(bet("b2", "1", round_id="r1", game_id="g1"))


@way("ZERO_AMOUNT_REFUSED")
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api, policies=Policies(zero_amount="REFUSE"))).refused(bet("b1", "0"))


@way("CURRENCY_DISABLED", metadata=("currency_code",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    await api.put_currency("RETIRED", Currency(2))
    seat = await seated(api, currency="RETIRED")
    await api.put_currency("RETIRED", Currency(2, "NO_NEW_DEBITS"))
    return await seat.refused(bet("b1", "1", "RETIRED"))


@way("WALLET_FROZEN", metadata=("currency_code",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await api.set_status(seat.player_id, "EUR", "DEBITS_FROZEN")
    return await seat.refused(bet("b1", "1"))


@way("WALLET_CLOSED", metadata=("currency_code",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    seat = await seated(api)
    await api.set_status(seat.player_id, "EUR", "CLOSED")
    return await seat.refused(bet("b1", "1"))


@way("INSUFFICIENT_FUNDS", metadata=("currency_code", "cash"))
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api)).refused(bet("b1", "100.01"))


@way("BALANCE_OVERFLOW", metadata=("currency_code",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api)).refused(deposit("d1", "9" * 34 + ".99"))


@way("VERSION_MISMATCH", "ABORTED", metadata=("version", "expected_version"))
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api)).refused(at_version(bet("b1", "1"), 7))


@way("SOURCE_DISABLED", metadata=("source_id",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    return await (await seated(api, policies=Policies(status="DISABLED"))).refused(bet("b1", "1"))


@way("CURRENCY_IMMUTABLE", metadata=("currency_code",))
async def _(api: WalletApi, _: Deployment) -> Refused:
    await api.put_currency("FIXED", Currency(2))
    with pytest.raises(Refused) as caught:
        await api.put_currency("FIXED", Currency(3))
    return caught.value


@way("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT")
async def _(_: WalletApi, deployment: Deployment) -> Refused:
    return await _ledger_refusal(
        deployment,
        lambda ledger: ledger.ListEntries(ledger_service_pb2.ListEntriesRequest(page_token="page 2")),
    )


@way("BALANCE_NOT_FOUND", "NOT_FOUND", metadata=("currency_code", "version"))
async def _(api: WalletApi, deployment: Deployment) -> Refused:
    seat = await seated(api)
    await until(deployment.drained, what="the wallet is in the ledger")
    request = ledger_service_pb2.GetBalanceAtRequest(
        player_id=seat.player_id, currency_code="EUR", version=99
    )
    return await _ledger_refusal(deployment, lambda ledger: ledger.GetBalanceAt(request))


async def _ledger_refusal(
    deployment: Deployment, ask: Callable[["LedgerServiceAsyncStub"], Awaitable[object]]
) -> Refused:
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        try:
            answer = await ask(LedgerServiceStub(channel))
        except grpc.RpcError as error:
            return refused(error)
    raise AssertionError(f"answered: {answer}")

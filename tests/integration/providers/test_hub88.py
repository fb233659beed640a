"""Hub88's wallet protocol, case by case: what is answered, and what moves."""

import asyncio
import uuid
from typing import Any

import pytest

from stakehold.v1 import provider_service_pb2 as pb
from tests.integration.providers.seats import Seat, seat
from tests.providers_house import (
    HUB88,
    SIGNATURE_HEADER,
    ProviderApi,
    Reply,
    hub88_bet,
    hub88_rollback,
    hub88_win,
    rsa_key,
    rsa_signature,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

BET, WIN, ROLLBACK, BALANCE, INFO = (
    "/transaction/bet",
    "/transaction/win",
    "/transaction/rollback",
    "/user/balance",
    "/user/info",
)


def asked_balance(one: Seat, **changes: Any) -> dict[str, Any]:
    fields = {"user": one.player, "token": one.token, "request_uuid": str(uuid.uuid4()), "game_code": "g"}
    return {**fields, **changes}


def shows(reply: Reply, status: str, balance: int | None = None) -> bool:
    """Answered in Hub88's way, with 200: understood, and not to be sent again."""
    assert reply.status_code == 200, reply
    assert reply.headers["Content-Type"] == "application/json"
    return reply.status == status and (balance is None or reply.said["balance"] == balance)


async def test_a_bet_is_answered_with_the_balance_in_hundred_thousandths(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)

    reply = await house.hub88(BET, bet)

    assert reply.said == {
        "status": "RS_OK",
        "user": one.player,
        "request_uuid": bet["request_uuid"],
        "currency": "EUR",
        "balance": 9_000_000,
    }
    assert await house.cash(one.player) == "90.00"


async def test_a_player_is_known_and_their_balance_told(house: ProviderApi) -> None:
    one = await seat(house)

    info = await house.hub88(INFO, {"user": one.player, "request_uuid": "r1"})
    balance = await house.hub88(BALANCE, asked_balance(one))
    nobody = await house.hub88(INFO, {"user": "nobody", "request_uuid": "r1"})

    assert info.said == {"status": "RS_OK", "user": one.player, "request_uuid": "r1", "country": "EE"}
    assert shows(balance, "RS_OK", 10_000_000)
    assert balance.said["currency"] == "EUR"
    assert shows(nobody, "RS_ERROR_UNKNOWN")


async def test_a_round_is_played_and_won(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    await house.hub88(BET, bet)

    won = await house.hub88(WIN, hub88_win(one.player, bet["transaction_uuid"], round_closed=True))
    late_bet = await house.hub88(BET, hub88_bet(one.player, one.token))

    assert shows(won, "RS_OK", 11_500_000)
    assert shows(late_bet, "RS_ERROR_UNKNOWN")  # the round is closed
    assert await house.cash(one.player) == "115.00"


async def test_the_same_bet_again_is_answered_as_it_was(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    first = await house.hub88(BET, bet)
    await house.hub88(BET, hub88_bet(one.player, one.token))

    again = await house.hub88(BET, bet)
    as_another_request = await house.hub88(BET, {**bet, "request_uuid": "another", "reward_uuid": "x"})

    assert again.body == first.body
    assert shows(as_another_request, "RS_OK", 9_000_000)
    assert as_another_request.said["request_uuid"] == "another"
    assert await house.cash(one.player) == "80.00"


@pytest.mark.parametrize(
    "changes", [{"amount": 1_100_000}, {"round": "round-2"}, {"game_code": "other"}], ids=str
)
async def test_the_same_id_with_another_payload_is_a_duplicate(
    house: ProviderApi, changes: dict[str, Any]
) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    await house.hub88(BET, bet)

    reply = await house.hub88(BET, {**bet, **changes})

    assert shows(reply, "RS_ERROR_DUPLICATE_TRANSACTION")
    assert await house.cash(one.player) == "90.00"


async def test_a_bet_that_cannot_be_paid_is_told_the_actual_balance(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token, amount=10_001_000)

    first, again = await house.hub88(BET, bet), await house.hub88(BET, bet)

    assert shows(first, "RS_ERROR_NOT_ENOUGH_MONEY", 10_000_000)
    assert again.body == first.body


async def test_a_rollback_gives_back_and_may_come_twice(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    await house.hub88(BET, bet)
    rollback = hub88_rollback(one.player, bet["transaction_uuid"])

    first, again = await house.hub88(ROLLBACK, rollback), await house.hub88(ROLLBACK, rollback)
    other = await house.hub88(ROLLBACK, hub88_rollback(one.player, bet["transaction_uuid"]))
    bet_again = await house.hub88(BET, bet)
    won = await house.hub88(WIN, hub88_win(one.player, bet["transaction_uuid"]))

    assert shows(first, "RS_OK", 10_000_000)
    assert again.body == first.body
    assert shows(other, "RS_OK", 10_000_000)
    assert shows(bet_again, "RS_ERROR_TRANSACTION_ROLLED_BACK")
    assert shows(won, "RS_ERROR_TRANSACTION_ROLLED_BACK")
    assert await house.cash(one.player) == "100.00"


async def test_a_rollback_before_its_bet_forbids_the_bet(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)

    rolled_back = await house.hub88(ROLLBACK, hub88_rollback(one.player, bet["transaction_uuid"]))
    late = await house.hub88(BET, bet)

    assert shows(rolled_back, "RS_OK", 10_000_000)
    assert shows(late, "RS_ERROR_TRANSACTION_ROLLED_BACK")
    assert await house.cash(one.player) == "100.00"


async def test_a_win_of_an_unknown_bet_may_come_again_when_the_bet_is_in(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    win = hub88_win(one.player, bet["transaction_uuid"])

    too_early = await house.hub88(WIN, win)
    await house.hub88(BET, bet)
    in_time = await house.hub88(WIN, win)

    assert shows(too_early, "RS_ERROR_TRANSACTION_DOES_NOT_EXIST")
    assert shows(in_time, "RS_OK", 11_500_000)


async def test_a_free_bet_takes_nothing_and_its_win_is_paid(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token, is_free=True, reward_uuid="reward-1")

    placed = await house.hub88(BET, bet)
    won = await house.hub88(WIN, hub88_win(one.player, bet["transaction_uuid"], is_free=True))

    assert shows(placed, "RS_OK", 10_000_000)
    assert shows(won, "RS_OK", 12_500_000)


async def test_a_prize_of_the_supplier_needs_no_bet_and_no_open_session(house: ProviderApi) -> None:
    one = await seat(house)
    win = hub88_win(one.player, "", is_supplier_promo=True, reference_transaction_uuid=None)

    assert shows(await house.hub88(WIN, win), "RS_OK", 12_500_000)


async def test_two_bets_of_one_round_and_one_bet_of_two_wins(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    await house.hub88(BET, bet)
    await house.hub88(BET, hub88_bet(one.player, one.token))

    await house.hub88(WIN, hub88_win(one.player, bet["transaction_uuid"]))
    last = await house.hub88(WIN, hub88_win(one.player, bet["transaction_uuid"]))

    assert shows(last, "RS_OK", 13_000_000)


async def test_tokens_matter_to_bets_and_to_nothing_else(house: ProviderApi) -> None:
    one, other = await seat(house), await seat(house)
    bet = hub88_bet(one.player, one.token)
    await house.hub88(BET, bet)
    await house.providers.CloseSession(pb.CloseSessionRequest(token=one.token))

    assert shows(await house.hub88(BET, hub88_bet(one.player, one.token)), "RS_ERROR_TOKEN_EXPIRED")
    assert shows(await house.hub88(BET, hub88_bet(one.player, "not-a-token")), "RS_ERROR_INVALID_TOKEN")
    assert shows(await house.hub88(BET, hub88_bet(one.player, other.token)), "RS_ERROR_INVALID_TOKEN")
    assert shows(await house.hub88(BET, bet), "RS_OK", 9_000_000)  # what was decided stays decided
    assert shows(await house.hub88(BALANCE, asked_balance(one)), "RS_OK", 9_000_000)
    assert shows(await house.hub88(BALANCE, asked_balance(one, token="no")), "RS_ERROR_INVALID_TOKEN")
    prize_bet = hub88_bet(one.player, one.token, amount=0, is_supplier_promo=True)
    assert shows(await house.hub88(BET, prize_bet), "RS_OK", 9_000_000)
    won = await house.hub88(WIN, hub88_win(one.player, bet["transaction_uuid"], token=one.token))
    assert shows(won, "RS_OK", 11_500_000)
    rollback = hub88_rollback(one.player, won.said["request_uuid"], token="gone")
    assert shows(await house.hub88(ROLLBACK, rollback), "RS_OK", 11_500_000)


async def test_a_frozen_player_bets_no_more_and_is_still_paid(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    await house.hub88(BET, bet)
    await house.wallets.set_status(one.player, "EUR", "DEBITS_FROZEN")

    refused = await house.hub88(BET, hub88_bet(one.player, one.token))
    won = await house.hub88(WIN, hub88_win(one.player, bet["transaction_uuid"]))

    assert shows(refused, "RS_ERROR_USER_DISABLED")
    assert shows(won, "RS_OK", 11_500_000)


async def test_another_currency_is_wrong(house: ProviderApi) -> None:
    one = await seat(house)

    for currency in ("USD", "QQQ"):
        reply = await house.hub88(BET, hub88_bet(one.player, one.token, currency=currency))
        assert shows(reply, "RS_ERROR_WRONG_CURRENCY"), currency
    win = hub88_win(one.player, "b", currency="USD", is_supplier_promo=True, reference_transaction_uuid=None)
    assert shows(await house.hub88(WIN, win), "RS_ERROR_WRONG_CURRENCY")
    nobody = hub88_win("nobody", "", is_supplier_promo=True)
    assert shows(await house.hub88(WIN, nobody), "RS_ERROR_UNKNOWN")


async def test_a_session_for_one_game_is_for_no_other(house: ProviderApi) -> None:
    one = await seat(house)
    token = await house.open_session(one.player, game_id="this")

    reply = await house.hub88(BET, hub88_bet(one.player, token, game_code="that"))

    assert shows(reply, "RS_ERROR_INVALID_GAME")


WRONG_TYPES: list[dict[str, Any]] = [
    {"amount": -1},
    {"amount": 1.0},
    {"amount": "1000000"},
    {"amount": True},
    {"amount": 1_000_001},  # less than a cent
    {"amount": 10**45},
    {"user": 7},
    {"user": ""},
    {"user": "\ud800"},
    {"user": "ä"},
    {"user": "x" * 129},
    {"transaction_uuid": ["a"]},
    {"round": 7},
    {"round_closed": "yes"},
    {"is_free": 1},
    {"currency": 978},
]


@pytest.mark.parametrize("changes", WRONG_TYPES, ids=str)
async def test_what_is_no_such_value_is_of_a_wrong_type(house: ProviderApi, changes: dict[str, Any]) -> None:
    one = await seat(house)

    reply = await house.hub88(BET, {**hub88_bet(one.player, one.token), **changes})

    assert shows(reply, "RS_ERROR_WRONG_TYPES")
    assert await house.cash(one.player) == "100.00"


@pytest.mark.parametrize(
    "missing", ["amount", "user", "token", "transaction_uuid", "request_uuid", "currency", "game_code"]
)
async def test_what_is_missing_is_wrong_syntax(house: ProviderApi, missing: str) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    del bet[missing]

    assert shows(await house.hub88(BET, bet), "RS_ERROR_WRONG_SYNTAX")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{\x00}\x00",
        b'{"amount":NaN}',
        b'{"user":"a","user":"b"}',
        b"[" * 60_000,
        b'{"amount":' + b"9" * 5000 + b"}",
    ],
    ids=range(9),
)
async def test_garbage_of_hub88s_own_is_wrong_syntax_and_anybody_elses_is_no_signature(
    house: ProviderApi, body: bytes
) -> None:
    signed = await house.hand_over(HUB88, BET, body, {SIGNATURE_HEADER: rsa_signature(body)})
    forged = rsa_signature(body, rsa_key("somebody else"))
    unsigned = await house.hand_over(HUB88, BET, body, {SIGNATURE_HEADER: forged})

    assert shows(signed, "RS_ERROR_WRONG_SYNTAX")
    assert unsigned.said == {"status": "RS_ERROR_INVALID_SIGNATURE"}


async def test_only_what_hub88_calls_is_there(house: ProviderApi) -> None:
    body = b"{}"
    headers = {SIGNATURE_HEADER: rsa_signature(body)}

    for path, method in (("/transaction/bets", "POST"), (BET, "GET"), (BET + "/", "POST")):
        reply = await house.hand_over(HUB88, path, body, headers, method=method)
        assert shows(reply, "RS_ERROR_WRONG_SYNTAX")


async def test_a_storm_of_the_same_bet_takes_once_and_is_told_the_same(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)

    replies = await asyncio.gather(*(house.hub88(BET, bet) for _ in range(50)))

    assert {reply.body for reply in replies} == {replies[0].body}
    assert shows(replies[0], "RS_OK", 9_000_000)
    assert await house.cash(one.player) == "90.00"


async def test_a_bet_beside_its_rollback_is_never_kept(house: ProviderApi) -> None:
    one = await seat(house)
    for _ in range(20):
        bet = hub88_bet(one.player, one.token, round=str(uuid.uuid4()))
        rollback = hub88_rollback(one.player, bet["transaction_uuid"])
        await asyncio.gather(house.hub88(BET, bet), house.hub88(ROLLBACK, rollback))
    assert await house.cash(one.player) == "100.00"


async def test_amounts_in_a_denomination_and_of_coins_are_exact(house: ProviderApi) -> None:
    one = await seat(house, "BTC", "0.01000000")
    token = await house.open_session(one.player, "mBTC")
    bet = hub88_bet(one.player, token, currency="mBTC", amount=123_456)  # 1.23456 mBTC

    placed = await house.hub88(BET, bet)
    balance = await house.hub88(BALANCE, asked_balance(one, token=token))

    assert shows(placed, "RS_OK", 876_544)
    assert placed.said["currency"] == "mBTC"
    assert shows(balance, "RS_OK", 876_544)
    assert await house.cash(one.player, "BTC") == "0.00876544"


async def test_nobody_is_shown_more_than_is_theirs(house: ProviderApi) -> None:
    one = await seat(house, "BTC", "0.00012345")

    reply = await house.hub88(BALANCE, asked_balance(one))

    assert shows(reply, "RS_OK", 12)  # 0.00012 BTC


async def test_what_is_kept_of_a_bet_can_be_found_with_it(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token, reward_uuid="reward-7", is_free=True)
    await house.hub88(BET, bet)

    found = await house.wallets.transaction(HUB88, one.player, bet["transaction_uuid"])

    assert (found.round_id, found.game_id) == ("round-1", "clt_dragonrising")
    assert found.amount.amount == "0.00"


async def test_what_was_said_at_one_path_means_nothing_at_another(house: ProviderApi) -> None:
    one = await seat(house)
    bet = hub88_bet(one.player, one.token)
    win = hub88_win(one.player, bet["transaction_uuid"], token=one.token)
    await house.hub88(BET, bet)

    assert shows(await house.hub88(WIN, bet), "RS_ERROR_WRONG_SYNTAX")
    assert shows(await house.hub88(ROLLBACK, bet), "RS_ERROR_WRONG_SYNTAX")
    assert shows(await house.hub88(WIN, win), "RS_OK", 11_500_000)
    assert shows(await house.hub88(BET, win), "RS_ERROR_DUPLICATE_TRANSACTION")
    assert shows(await house.hub88(WIN, {**bet, "is_free": True}), "RS_ERROR_DUPLICATE_TRANSACTION")
    assert await house.cash(one.player) == "115.00"

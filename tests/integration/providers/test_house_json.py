"""The plain protocol: the second adapter, with a secret and a timestamp, or with a key of its own."""

import json
import time

import pytest

from tests.integration.providers.seats import seat
from tests.providers_house import ARCADE, ProviderApi, hmac_headers

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_game_of_the_house_is_played(house: ProviderApi) -> None:
    player = (await seat(house)).player
    common = {"player_id": player, "currency": "EUR", "game_id": "dice", "round_id": "r1"}

    bet = await house.arcade("/bet", transaction_id="b1", amount="10.00", request_id="q1", **common)
    again = await house.arcade("/bet", transaction_id="b1", amount="10.00", request_id="q1", **common)
    other = await house.arcade("/bet", transaction_id="b1", amount="11.00", **common)
    win = await house.arcade("/win", transaction_id="w1", amount="25.50", bet_id="b1", **common)
    prize = await house.arcade("/win", transaction_id="p1", amount="1", prize=True, **common)
    balance = await house.arcade("/balance", player_id=player, currency="EUR")

    assert bet.said == {"status": "ok", "request_id": "q1", "currency": "EUR", "balance": "90.00"}
    assert again.body == bet.body
    assert (other.status_code, other.status) == (200, "id_conflict")
    assert (win.said["balance"], prize.said["balance"]) == ("115.50", "116.50")
    assert balance.said["balance"] == "116.50"


async def test_a_rollback_comes_before_its_bet(house: ProviderApi) -> None:
    player = (await seat(house)).player
    common = {"player_id": player, "currency": "EUR"}

    rollback = await house.signed("/rollback", transaction_id="rb", original_id="b1", **common)
    bet = await house.signed("/bet", transaction_id="b1", amount="10.00", **common)

    assert (rollback.status, rollback.said["balance"]) == ("ok", "100.00")
    assert (bet.status_code, bet.status) == (200, "rolled_back")


async def test_a_rollback_in_an_unknown_currency_is_refused_before_money_moves(house: ProviderApi) -> None:
    player = (await seat(house)).player
    await house.arcade("/bet", player_id=player, currency="EUR", transaction_id="b1", amount="10.00")
    rollback = {"player_id": player, "transaction_id": "rb", "original_id": "b1"}

    unknown = await house.arcade("/rollback", currency="QQQ", **rollback)
    cash_after_unknown = await house.cash(player)
    known = await house.arcade("/rollback", currency="EUR", **rollback)

    assert (unknown.status_code, unknown.status, cash_after_unknown) == (200, "currency", "90.00")
    assert (known.status, known.said["balance"]) == ("ok", "100.00")


async def test_a_rollback_in_another_currency_shows_the_wallets_own(house: ProviderApi) -> None:
    player = (await seat(house)).player
    await house.arcade("/bet", player_id=player, currency="EUR", transaction_id="b1", amount="10.00")

    rollback = await house.arcade(
        "/rollback", player_id=player, currency="USD", transaction_id="rb", original_id="b1"
    )

    assert rollback.said == {"status": "ok", "currency": "EUR", "balance": "100.00"}


async def test_problems_have_words_and_codes(house: ProviderApi) -> None:
    player = (await seat(house)).player
    bet = {"player_id": player, "currency": "EUR", "transaction_id": "b1", "amount": "10.00"}

    replies = {
        "funds": await house.arcade("/bet", **{**bet, "amount": "100.01"}),
        "types": await house.arcade("/bet", **{**bet, "amount": "10.001"}),
        "syntax": await house.arcade("/bet", player_id=player, currency="EUR"),
        "currency": await house.arcade("/bet", **{**bet, "currency": "USD", "transaction_id": "b2"}),
        "player_unknown": await house.arcade("/bet", **{**bet, "player_id": "nobody"}),
        "no_such_path": await house.arcade("/deposit", **bet),
        "reference_unknown": await house.arcade("/win", **{**bet, "transaction_id": "w1"}, bet_id="none"),
    }

    assert {word: reply.status for word, reply in replies.items()} == {word: word for word in replies}
    codes = {word: reply.status_code for word, reply in replies.items()}
    assert codes == dict.fromkeys(replies, 200) | {"types": 400, "syntax": 400, "no_such_path": 404}
    assert replies["funds"].said["balance"] == "100.00"


@pytest.mark.parametrize(
    "amount", ["1e1", "+5", "-1", " 5", "5,00", "0x10", "٥", "", "1" * 40, 10, 9.5, None]
)
async def test_amounts_are_texts_of_digits(house: ProviderApi, amount: object) -> None:
    player = (await seat(house)).player

    reply = await house.arcade("/bet", player_id=player, currency="EUR", transaction_id="b", amount=amount)

    assert reply.status in {"types", "syntax"}
    assert await house.cash(player) == "100.00"


async def test_a_timestamp_is_fresh_and_a_replay_within_its_window_moves_nothing(house: ProviderApi) -> None:
    player = (await seat(house)).player
    bet = {"player_id": player, "currency": "EUR", "transaction_id": "b1", "amount": "10.00"}
    body = json.dumps(bet).encode()
    fresh, stale = hmac_headers("/bet", body), hmac_headers("/bet", body, at=int(time.time()) - 400)

    replies = [await house.hand_over(ARCADE, "/bet", body, headers) for headers in (fresh, fresh, stale)]
    moved_on = await house.hand_over(ARCADE, "/bet", body, {**stale, "X-Timestamp": str(int(time.time()))})

    assert [reply.status_code for reply in replies] == [200, 200, 401]
    assert moved_on.status_code == 401
    assert await house.cash(player) == "90.00"


async def test_one_providers_signature_is_not_anothers(house: ProviderApi) -> None:
    body = b"{}"

    reply = await house.hand_over("signed", "/balance", body, hmac_headers("/balance", body))

    assert (reply.status_code, reply.said) == (401, {"status": "signature"})


async def test_a_bet_cannot_be_shown_as_a_win(house: ProviderApi) -> None:
    player = (await seat(house)).player
    bet = {"player_id": player, "currency": "EUR", "transaction_id": "b1", "amount": "10.00"}
    body = json.dumps(bet).encode()

    shown = await house.hand_over(ARCADE, "/win", body, hmac_headers("/bet", body))

    assert (shown.status_code, shown.status) == (401, "signature")
    assert await house.cash(player) == "100.00"

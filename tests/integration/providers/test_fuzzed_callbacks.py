"""Signed nonsense: whatever a provider signs is answered in its own words, and is no bug of ours."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.integration.providers.seats import seat
from tests.providers_house import ProviderApi, hub88_bet, hub88_rollback, hub88_win

pytestmark = pytest.mark.asyncio(loop_scope="session")

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    10**18,
    10**40,
    0.5,
    1e300,
    "",
    "x",
    "EUR",
    "x" * 128,
    "x" * 129,
    "\x00",
    "\ud800",
    "٥",
    "' OR 1=1 --",
    [],
    {},
    [[]],
    {"user": "x"},
]


async def test_signed_nonsense_is_answered_in_hub88s_words(house: ProviderApi) -> None:
    rng = Random(20260121)
    one = await seat(house)
    known = hub88_bet(one.player, one.token)
    await house.hub88("/transaction/bet", known)
    calls: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        ("/transaction/bet", lambda: hub88_bet(one.player, one.token)),
        ("/transaction/win", lambda: hub88_win(one.player, known["transaction_uuid"])),
        ("/transaction/rollback", lambda: hub88_rollback(one.player, str(rng.random()))),
        ("/user/balance", lambda: hub88_bet(one.player, one.token)),
        ("/user/info", lambda: hub88_bet(one.player, one.token)),
    ]
    statuses: set[str] = set()
    for _ in range(400):
        path, make = rng.choice(calls)
        fields = make()
        for name in rng.sample(sorted(fields), rng.randint(1, 3)):
            fields[name] = rng.choice(VALUES)
        reply = await house.hub88(path, fields)
        assert reply.status_code == 200, (path, fields)
        assert json.loads(reply.body)["status"].startswith("RS_")
        statuses.add(reply.status)

    assert {"RS_OK", "RS_ERROR_WRONG_SYNTAX", "RS_ERROR_WRONG_TYPES"} <= statuses

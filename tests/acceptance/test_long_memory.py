"""What a provider asks days, months and years later: the store has forgotten it, the ledger has not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.transactions import PlayerId, partition_of
from persistence.valkey.keys import player_keys
from tests.acceptance.seat import Seat, seated
from tests.answers import read_result
from tests.deployment import Deployment
from tests.forgetful import Oblivion, oblivion
from tests.reference import Policies
from tests.steps import bet, closing, rollback, win
from tests.wallet_api import WalletApi, new_name, wallet_api

Forget = Callable[[Seat], Awaitable[None]]


@pytest_asyncio.fixture
async def api(deployment: Deployment) -> AsyncIterator[WalletApi]:
    async with wallet_api(deployment.address) as opened:
        yield opened


@pytest_asyncio.fixture
async def oblivious(deployment: Deployment) -> AsyncIterator[Oblivion]:
    async with oblivion(deployment.valkey.url, deployment.ledger_dsn) as made:
        yield made


@pytest.fixture(params=["the player", "ids and rounds", "ids and rounds twice"])
def forget(request: pytest.FixtureRequest, oblivious: Oblivion) -> Forget:
    """Lets the store forget what is named."""

    async def forget_it(seat: Seat) -> None:
        match request.param:
            case "the player":
                await oblivious.forget_players([seat.player_id])
            case "ids and rounds":
                await oblivious.forget_fields([seat.player_id])
            case _:
                await oblivious.forget_fields([seat.player_id])
                name = new_name("between")
                await seat.one(bet(name, "1"))
                await seat.one(rollback(f"undo {name}", name))
                await oblivious.forget_fields([seat.player_id])

    return forget_it


async def keys_of(deployment: Deployment, seat: Seat) -> dict[str, int]:
    """How many fields the store has of each of a player's hashes; no key, no field."""
    keys = player_keys(partition_of(PlayerId(seat.player_id), 16), PlayerId(seat.player_id))
    async with Redis.from_url(deployment.valkey.url) as store:
        return {name: await store.hlen(getattr(keys, name)) for name in ("wallets", "ids", "rounds")}


async def test_a_forgotten_player_takes_no_memory(
    deployment: Deployment, api: WalletApi, oblivious: Oblivion
) -> None:
    seat = await seated(api)
    await seat.one(bet("b1", "10", round_id="r1"))
    assert await keys_of(deployment, seat) == {"wallets": 2, "ids": 2, "rounds": 1}

    await oblivious.forget_fields([seat.player_id])
    assert await keys_of(deployment, seat) == {"wallets": 2, "ids": 0, "rounds": 0}

    await oblivious.forget_players([seat.player_id])
    assert await keys_of(deployment, seat) == {"wallets": 0, "ids": 0, "rounds": 0}
    assert await seat.cash() == "90.00"


async def test_a_late_duplicate_is_a_replay(api: WalletApi, forget: Forget) -> None:
    seat = await seated(api)
    first = await seat.one(bet("b1", "10", round_id="r1"))
    lost = await seat.refused(bet("b2", "1000"))
    await forget(seat)

    again = await seat.one(bet("b1", "10", round_id="r1"))
    lost_again = await seat.refused(bet("b2", "1000"))

    assert again.replayed
    assert (again.entry_id, again.after, again.booked_ns) == (first.entry_id, first.after, first.booked_ns)
    assert lost_again.details.refusal is not None
    assert lost.details.refusal is not None
    assert lost_again.details.refusal.replayed
    assert lost_again.details.refusal.entry_id == lost.details.refusal.entry_id
    assert (await seat.refused(bet("b1", "11", round_id="r1"))).reason == "TRANSACTION_ID_CONFLICT"
    assert await seat.cash() == "90.00"


async def test_fifty_late_duplicates_at_once_are_fifty_replays(api: WalletApi, forget: Forget) -> None:
    seat = await seated(api)
    await seat.one(bet("b1", "10"))
    await forget(seat)

    answers = await asyncio.gather(*(seat.one(bet("b1", "10")) for _ in range(50)))

    assert all(answer.replayed for answer in answers)
    assert await seat.cash() == "90.00"


async def test_a_tombstone_is_remembered_for_ever(api: WalletApi, forget: Forget) -> None:
    seat = await seated(api)
    await seat.one(rollback("u1", "b1"))
    await forget(seat)

    assert (await seat.refused(bet("b1", "10"))).reason == "TRANSACTION_ROLLED_BACK"
    assert (await seat.one(rollback("u2", "b1"))).outcome == "ALREADY_ROLLED_BACK"
    assert await seat.cash() == "100.00"


async def test_an_old_bet_is_settled_and_its_win_is_counted(api: WalletApi, forget: Forget) -> None:
    seat = await seated(api)
    await seat.one(bet("b1", "10", round_id="r1"))
    await forget(seat)

    await seat.one(win("w1", "25", of="b1"))
    await forget(seat)

    assert (await seat.refused(rollback("u1", "b1"))).reason == "BET_SETTLED"
    await seat.one(rollback("u2", "w1"))
    await forget(seat)
    await seat.one(rollback("u3", "b1"))
    await forget(seat)
    assert (await seat.refused(bet("b1", "10", round_id="r1"))).reason == "TRANSACTION_ROLLED_BACK"
    assert (await seat.one(rollback("u4", "b1"))).outcome == "ALREADY_ROLLED_BACK"
    assert await seat.cash() == "100.00"


async def test_an_old_round_stays_closed(api: WalletApi, forget: Forget) -> None:
    seat = await seated(api)
    await seat.play(bet("b1", "10", round_id="r1"), closing(win("w1", "0", round_id="r1")))
    await forget(seat)

    assert (await seat.refused(bet("b2", "1", round_id="r1"))).reason == "ROUND_CLOSED"
    assert (await seat.one(win("w2", "5", round_id="r1"))).late
    assert await seat.cash() == "95.00"


async def test_a_win_that_came_before_its_bet_counts_when_the_bet_comes_late(
    api: WalletApi, forget: Forget
) -> None:
    seat = await seated(api, policies=Policies(unknown_bet="ACCEPT"))
    await seat.one(win("w1", "5", of="b1"))
    await forget(seat)

    await seat.one(bet("b1", "10"))

    assert (await seat.refused(rollback("u1", "b1"))).reason == "BET_SETTLED"
    assert await seat.cash() == "95.00"


async def test_what_became_of_an_old_transaction_is_told(api: WalletApi, forget: Forget) -> None:
    seat = await seated(api)
    done = await seat.one(bet("b1", "10"))
    before = await seat.look_up("b1")
    await forget(seat)

    after = await seat.look_up("b1")

    assert (after.state, after.kind, after.amount) == (before.state, before.kind, before.amount)
    assert read_result(after.result).after == read_result(before.result).after == done.after
    assert after.result.entry_id == done.entry_id
    assert (await seat.look_up("b2")).state != before.state


async def test_ids_that_nobody_used_are_new_however_much_is_forgotten(api: WalletApi, forget: Forget) -> None:
    seat = await seated(api)
    await seat.play(*(bet(f"b{number}", "0.01") for number in range(10)))
    await forget(seat)

    answers = await seat.play(*(bet(f"c{number}", "0.01", round_id=f"c{number}") for number in range(10)))

    assert not any(answer.replayed for answer in answers)
    assert await seat.cash() == "99.80"

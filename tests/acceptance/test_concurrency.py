"""Many calls at once: each id once, never more than there is."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable

from tests.acceptance.seat import Seat, seated
from tests.answers import Done, Refused
from tests.steps import bet, rollback, win
from tests.wallet_api import WalletApi


async def outcome_of(call: Awaitable[Done]) -> str:
    """The word "replayed", the outcome, or the reason of the refusal."""
    try:
        done = await call
    except Refused as refused:
        return refused.reason
    return "replayed" if done.replayed else done.outcome


async def outcomes(calls: Iterable[Awaitable[Done]]) -> Counter[str]:
    """What became of calls that were all sent at once."""
    return Counter(await asyncio.gather(*map(outcome_of, calls)))


async def test_a_hundred_parallel_identical_bets_are_taken_once(seat: Seat) -> None:
    seen = await outcomes(seat.one(bet("b1", "10")) for _ in range(100))

    assert seen == {"APPLIED": 1, "replayed": 99}
    assert await seat.cash() == "90.00"


async def test_fifty_parallel_identical_wins_are_credited_once(seat: Seat) -> None:
    await seat.one(bet("b1", "10"))

    seen = await outcomes(seat.one(win("w1", "25", of="b1")) for _ in range(50))

    assert seen == {"APPLIED": 1, "replayed": 49}
    assert await seat.cash() == "115.00"


async def test_parallel_distinct_bets_take_all_the_money_and_no_more(seat: Seat) -> None:
    seen = await outcomes(seat.one(bet(f"b{number}", "10")) for number in range(20))

    assert seen == {"APPLIED": 10, "INSUFFICIENT_FUNDS": 10}
    assert await seat.cash() == "0.00"


async def test_parallel_calls_on_one_wallet_take_every_version_once(seat: Seat) -> None:
    calls = [seat.play(bet(f"a{number}", "0.01"), bet(f"b{number}", "0.01")) for number in range(100)]

    results = [result for results in await asyncio.gather(*calls) for result in results]

    versions = sorted(result.after.version for result in results if result.after)
    assert versions == list(range(3, 203))
    assert await seat.cash() == "98.00"


async def test_a_bet_against_its_rollback_leaves_the_money_whichever_comes_first(api: WalletApi) -> None:
    seats = await asyncio.gather(*(seated(api) for _ in range(10)))
    seen: Counter[tuple[str, ...]] = Counter()
    for trial in range(100):
        seen += Counter(
            await asyncio.gather(*(race(seat, f"{trial}", bet_first=trial % 2 == 0) for seat in seats))
        )

    assert set(seen) <= {
        ("APPLIED", "APPLIED"),
        ("TRANSACTION_ROLLED_BACK", "NO_ORIGINAL"),
    }
    assert seen.total() == 1000
    assert {await seat.cash() for seat in seats} == {"100.00"}


async def race(seat: Seat, trial: str, *, bet_first: bool) -> tuple[str, ...]:
    """What became of a bet and of its rollback, sent together."""
    calls = [seat.one(bet(f"b{trial}", "10")), seat.one(rollback(f"r{trial}", f"b{trial}"))]
    seen = await asyncio.gather(*map(outcome_of, calls if bet_first else reversed(calls)))
    return tuple(seen if bet_first else reversed(seen))


async def test_parallel_rollbacks_of_one_bet_give_back_once(seat: Seat) -> None:
    await seat.one(bet("b1", "10"))

    seen = await outcomes(seat.one(rollback(f"r{number}", "b1")) for number in range(50))

    assert seen == {"APPLIED": 1, "ALREADY_ROLLED_BACK": 49}
    assert await seat.cash() == "100.00"


async def test_ids_belong_to_one_player_and_one_source(api: WalletApi) -> None:
    seats = await asyncio.gather(*(seated(api) for _ in range(10)))
    scopes = [Seat(api, at.source_id, who.player_id) for at in seats for who in seats]

    seen = await outcomes(scope.one(bet("b1", "1")) for scope in scopes)

    assert seen == {"APPLIED": 100}
    assert {await seat.cash() for seat in seats} == {"90.00"}


async def test_cancelled_calls_are_done_once_or_not_at_all(seat: Seat) -> None:
    calls = [asyncio.create_task(seat.one(bet(f"b{number}", "1"))) for number in range(60)]
    await calls[0]
    for call in calls[::2]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    seen = await outcomes(seat.one(bet(f"b{number}", "1")) for number in range(60))

    assert set(seen) <= {"APPLIED", "replayed"}
    assert await seat.cash() == "40.00"
    assert (await seat.balance()).version == 62

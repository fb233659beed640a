"""Rates that are pushed are used, held or passed over, each for itself."""

import asyncio

import pytest

from stakehold.v1 import error_reason_pb2
from stakehold.v1 import fx_service_pb2 as pb
from tests.fx_api import HOUR_MS, MINUTE_MS, FxApi, PairApi, now_ms

FINAL = "FAILED_PRECONDITION"


async def test_the_first_rate_of_a_pair_is_used_at_once_and_exactly_as_it_came(pair: PairApi) -> None:
    published = now_ms()

    rate_id = await pair.accepted("1.0890", published)

    rate = await pair.rate_at(published)
    assert (rate.rate_id, rate.mid, rate.source, rate.state) == (
        rate_id,
        "1.0890",
        "feed",
        pb.RATE_STATE_ACCEPTED,
    )
    assert rate.published_time.ToMilliseconds() == published
    assert (await pair.conversion()).rate_id == str(rate_id)


@pytest.mark.parametrize("mid", ["0.000000000000000001", "123456789012345678.123456789012345678"])
async def test_a_rate_of_all_digits_comes_back_digit_by_digit(pair: PairApi, mid: str) -> None:
    await pair.accepted(mid)

    assert (await pair.rate_at(now_ms())).mid == mid


async def test_what_was_pushed_is_ignored_when_it_is_pushed_again(pair: PairApi) -> None:
    published = now_ms()
    rate_id = await pair.accepted("1.1", published)

    again = await pair.push("1.10", published)

    assert (again.outcome, again.rate_id) == (pb.PUSH_OUTCOME_IGNORED, 0)
    assert again.reason
    assert (await pair.rate_at(published)).rate_id == rate_id


async def test_what_is_older_than_the_rate_in_use_is_ignored(pair: PairApi) -> None:
    published = now_ms()
    await pair.accepted("1.1", published)

    assert (await pair.push("1.105", published - 1)).outcome == pb.PUSH_OUTCOME_IGNORED
    assert await pair.mid() == "1.1"


async def test_what_is_from_the_future_is_ignored_so_that_it_blocks_nobody(pair: PairApi) -> None:
    assert (await pair.push("1.1", now_ms() + HOUR_MS)).outcome == pb.PUSH_OUTCOME_IGNORED

    await pair.accepted("1.1")


async def test_each_rate_of_a_push_gets_its_own_result(api: FxApi, pair: PairApi) -> None:
    published, stranger = now_ms() - MINUTE_MS, PairApi(api, pair.base, "TYPO")
    rates = [
        pair.rate("1.1", published),
        stranger.rate("1.1", published),
        pair.rate("1.2", published + 1),
        pair.rate("1.1", published),
        pair.rate("1.109", published + 2),
    ]

    results = (await api.call(pb.PushRatesRequest(source="feed", rates=rates))).results

    assert [pb.PushOutcome.Name(result.outcome).removeprefix("PUSH_OUTCOME_") for result in results] == [
        "ACCEPTED",
        "REFUSED",
        "HELD",
        "IGNORED",
        "ACCEPTED",
    ]
    assert results[1].refusal_reason == error_reason_pb2.ERROR_REASON_PAIR_UNKNOWN
    assert all(result.reason for result in results[1:4])
    assert [bool(result.rate_id) for result in results] == [True, False, True, False, True]
    assert (await pair.rate_at(now_ms())).rate_id == results[4].rate_id
    assert await pair.waiting() == []  # the held one was overtaken


async def test_a_push_of_500_rates_is_numbered_in_their_order(api: FxApi, pair: PairApi) -> None:
    published = now_ms() - MINUTE_MS
    rates = [pair.rate(f"1.{1000 + step}", published + step) for step in range(500)]

    results = (await api.call(pb.PushRatesRequest(source="feed", rates=rates))).results

    ids = [result.rate_id for result in results]
    assert ids == sorted(set(ids))
    for step in (0, 123, 499):
        rate = await pair.rate_at(published + step)
        assert (rate.rate_id, rate.mid) == (ids[step], f"1.{1000 + step}")


async def test_of_two_parallel_pushes_the_second_is_compared_with_the_first(api: FxApi) -> None:
    pairs = await asyncio.gather(*(api.pair() for _ in range(8)))
    for pair in pairs:
        await pair.accepted("100", now_ms() - MINUTE_MS)
    published = now_ms()

    results = await asyncio.gather(
        *(
            pair.push(mid, published + later, source=source)
            for pair in pairs
            for mid, later, source in (("100.9", 0, "one"), ("99.1", 1, "two"))
        )
    )

    # Either alone is less than a per cent away from 100; from each other they are further.
    for pair, first, second in zip(pairs, results[::2], results[1::2], strict=True):
        accepted = [r for r in (first, second) if r.outcome == pb.PUSH_OUTCOME_ACCEPTED]
        assert len(accepted) == 1, (first, second)
        assert (await pair.rate_at(now_ms())).rate_id == accepted[0].rate_id


async def test_pushes_of_the_same_pairs_in_different_orders_do_not_block_each_other(api: FxApi) -> None:
    pairs = [await api.pair() for _ in range(20)]
    published = now_ms() - MINUTE_MS

    def request(number: int) -> pb.PushRatesRequest:
        ordered = pairs if number % 2 else pairs[::-1]
        rates = [pair.rate("1.1", published + number) for pair in ordered]
        return pb.PushRatesRequest(source="feed", rates=rates)

    responses = await asyncio.gather(*(api.call(request(number)) for number in range(10)))

    newest = [result.outcome for result in responses[9].results]
    assert newest == [pb.PUSH_OUTCOME_ACCEPTED] * 20

"""What a rate was, and what was known of it when, is answered for ever."""

import asyncio

import pytest

from stakehold.v1 import fx_service_pb2 as pb
from tests.fx_api import HOUR_MS, MINUTE_MS, PairApi, now_ms, refusal, timestamp, told

FINAL = "FAILED_PRECONDITION"


async def test_a_rate_is_known_from_when_it_was_received_or_confirmed(pair: PairApi) -> None:
    published = [now_ms() - HOUR_MS, now_ms() - MINUTE_MS]
    old = await pair.accepted("1.00", published[0])
    held = await pair.held("1.10", published[1])
    waiting = await pair.rate_at(now_ms())
    [listed] = [
        rate
        for rate in (await pair.api.call(pb.ListRatesRequest(base=pair.base, quote=pair.quote))).rates
        if rate.rate_id == held
    ]
    received_ms = listed.received_time.ToMilliseconds()
    await asyncio.sleep(0.01)
    decided_ms = (await pair.confirm(held)).decided_time.ToMilliseconds()

    assert waiting.rate_id == old
    for at_ms, known_ms, known in [
        (now_ms(), None, held),
        (now_ms(), decided_ms, held),
        (now_ms(), decided_ms - 1, old),
        (published[1], decided_ms, held),
        (published[1] - 1, decided_ms, old),
        (now_ms(), received_ms, old),
    ]:
        assert (await pair.rate_at(at_ms, known_ms)).rate_id == known, (at_ms, known_ms)
    assert received_ms < decided_ms


async def test_a_rate_that_came_late_was_not_known_before(pair: PairApi) -> None:
    before_ms = now_ms()
    published = before_ms - HOUR_MS
    rate_id = await pair.accepted("1.00", published)
    rate = await pair.rate_at(published)

    received_ms = rate.received_time.ToMilliseconds()
    assert received_ms >= before_ms
    assert (await pair.rate_at(published, received_ms)).rate_id == rate_id
    for at_ms, known_ms in ((published, received_ms - 1), (published - 1, None)):
        refused = await refusal(pair.rate_at(at_ms, known_ms))
        assert told(refused) == ("NOT_FOUND", "RATE_NOT_FOUND", {})


async def test_history_is_listed_by_published_time_page_by_page(pair: PairApi) -> None:
    start = now_ms() - HOUR_MS
    for step in range(7):
        await pair.push(f"1.00{step}", start + step * 1_000)
    request = pb.ListRatesRequest(base=pair.base, quote=pair.quote, page_size=3)
    request.start_time.CopyFrom(timestamp(start + 1_000))
    request.end_time.CopyFrom(timestamp(start + 6_000))
    pages = [await pair.api.call(request)]
    await pair.push("1.007", start + 7_000)  # comes after the first page
    while pages[-1].next_page_token:
        request.page_token = pages[-1].next_page_token
        pages.append(await pair.api.call(request))

    assert [[rate.mid for rate in page.rates] for page in pages] == [
        ["1.001", "1.002", "1.003"],
        ["1.004", "1.005"],
    ]


async def test_bounds_finer_than_a_millisecond_cut_between_two_rates(pair: PairApi) -> None:
    published = now_ms() - HOUR_MS
    await pair.accepted("1.001", published)
    await pair.accepted("1.002", published + 1)
    just_after = timestamp(published)
    just_after.nanos += 1
    earlier = pb.ListRatesRequest(base=pair.base, quote=pair.quote, end_time=just_after)
    later = pb.ListRatesRequest(base=pair.base, quote=pair.quote, start_time=just_after)

    assert [rate.mid for rate in (await pair.api.call(earlier)).rates] == ["1.001"]
    assert [rate.mid for rate in (await pair.api.call(later)).rates] == ["1.002"]


async def test_a_history_ends_at_what_there_was_when_its_first_page_was_read(pair: PairApi) -> None:
    start = now_ms() - HOUR_MS
    for step in range(3):
        await pair.accepted(f"1.00{step}", start + step)
    request = pb.ListRatesRequest(base=pair.base, quote=pair.quote, page_size=2)
    first = await pair.api.call(request)
    await pair.accepted("1.003", start + 3)

    request.page_token = first.next_page_token
    second = await pair.api.call(request)

    assert [rate.mid for rate in second.rates] == ["1.002"]
    assert not second.next_page_token


async def test_every_state_is_listed_with_who_decided(pair: PairApi) -> None:
    start = now_ms() - HOUR_MS
    await pair.accepted("1", start)
    await pair.reject(await pair.held("2", start + 1, by="alice"))
    await pair.confirm(await pair.held("3", start + 2))
    await pair.held("1", start + 3)

    rates = (await pair.api.call(pb.ListRatesRequest(base=pair.base, quote=pair.quote))).rates

    assert [(rate.mid, pb.RateState.Name(rate.state), rate.pushed_by, rate.decided_by) for rate in rates] == [
        ("1", "RATE_STATE_ACCEPTED", "", ""),
        ("2", "RATE_STATE_REJECTED", "alice", "bob"),
        ("3", "RATE_STATE_ACCEPTED", "", "bob"),
        ("1", "RATE_STATE_HELD", "", ""),
    ]
    assert [rate.HasField("decided_time") for rate in rates] == [False, True, True, False]


@pytest.mark.parametrize("token", ["page 2", "AAAA", "☃"])
async def test_a_token_of_another_list_is_refused(pair: PairApi, token: str) -> None:
    for request in (
        pb.ListRatesRequest(base=pair.base, quote=pair.quote, page_token=token),
        pb.ListHeldRatesRequest(page_token=token),
    ):
        refused = await refusal(pair.api.call(request))
        assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")

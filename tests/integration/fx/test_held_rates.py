"""What is held waits for somebody, and gets one decision."""

import asyncio

from stakehold.v1 import fx_service_pb2 as pb
from tests.answers import Refused
from tests.fx_api import MINUTE_MS, PairApi, now_ms, refusal, told

FINAL = "FAILED_PRECONDITION"


async def test_a_jump_is_held_and_used_when_a_second_person_confirmed_it(pair: PairApi) -> None:
    await pair.accepted("1.00", now_ms() - MINUTE_MS)
    held = await pair.held("1.10", by="alice")
    assert await pair.mid() == "1"
    assert await pair.waiting() == [held]

    refused = await refusal(pair.confirm(held, by="alice"))
    confirmed = await pair.confirm(held, by="bob")

    assert told(refused) == (FINAL, "SAME_PERSON", {"rate_id": str(held), "pushed_by": "alice"})
    assert (confirmed.state, confirmed.decided_by, confirmed.decision_reason, confirmed.pushed_by) == (
        pb.RATE_STATE_ACCEPTED,
        "bob",
        "looked it up",
        "alice",
    )
    assert "100 bps" in confirmed.held_reason
    assert await pair.mid() == "1.1"
    assert await pair.waiting() == []


async def test_a_small_jump_may_be_confirmed_by_who_pushed_it(pair: PairApi) -> None:
    await pair.accepted("1.00", now_ms() - MINUTE_MS)
    held = await pair.held("1.05", by="alice")

    await pair.confirm(held, by="alice")

    assert await pair.mid() == "1.05"


async def test_what_a_feed_pushed_anybody_confirms(pair: PairApi) -> None:
    await pair.accepted("1", now_ms() - MINUTE_MS)

    await pair.confirm(await pair.held("2"), by="alice")

    assert await pair.mid() == "2"


async def test_a_rejected_rate_is_never_used(pair: PairApi) -> None:
    before = now_ms() - MINUTE_MS
    await pair.accepted("1.00", before)
    held = await pair.held("1.10", by="alice")

    rejected = await pair.reject(held, by="alice")
    refused = await refusal(pair.confirm(held, by="bob"))

    assert rejected.state == pb.RATE_STATE_REJECTED
    assert told(refused) == (FINAL, "RATE_NOT_HELD", {"rate_id": str(held), "state": "rejected"})
    assert await pair.mid() == "1"
    assert (await pair.rate_at(now_ms())).published_time.ToMilliseconds() == before
    assert await pair.waiting() == []


async def test_a_feed_that_repeats_what_was_rejected_is_not_heard_again(pair: PairApi) -> None:
    await pair.accepted("1.00", now_ms() - MINUTE_MS)
    published = now_ms()
    await pair.reject(await pair.held("1.10", published))

    assert (await pair.push("1.10", published)).outcome == pb.PUSH_OUTCOME_IGNORED


async def test_a_feed_that_repeats_what_it_sent_last_is_not_heard_again(pair: PairApi) -> None:
    start = now_ms() - MINUTE_MS
    await pair.accepted("1.00", start)
    await pair.held("1.20", start + 2)
    await pair.held("1.10", start + 1)

    assert (await pair.push("1.10", start + 1)).outcome == pb.PUSH_OUTCOME_IGNORED


async def test_the_same_decision_again_changes_nothing(pair: PairApi) -> None:
    await pair.accepted("1.00", now_ms() - MINUTE_MS)
    held = await pair.held("1.10")

    first, again = await pair.confirm(held), await pair.confirm(held)

    assert first == again


async def test_a_rate_that_was_accepted_cannot_be_rejected_afterwards(pair: PairApi) -> None:
    rate_id = await pair.accepted("1.00")

    refused = await refusal(pair.reject(rate_id))

    assert told(refused) == (FINAL, "RATE_NOT_HELD", {"rate_id": str(rate_id), "state": "accepted"})


async def test_of_decisions_at_the_same_time_one_counts(pair: PairApi) -> None:
    await pair.accepted("1.00", now_ms() - MINUTE_MS)
    held = await pair.held("1.10")

    answers = await asyncio.gather(
        *(pair.confirm(held, by="bob") for _ in range(5)),
        *(pair.reject(held, by="carol") for _ in range(5)),
        return_exceptions=True,
    )

    states = {answer.state for answer in answers if isinstance(answer, pb.Rate)}
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(states) == 1
    assert {answer.reason for answer in refused} == {"RATE_NOT_HELD"}
    assert len(refused) == 5


async def test_what_was_confirmed_is_what_the_next_one_is_compared_with(pair: PairApi) -> None:
    await pair.accepted("1.00", now_ms() - MINUTE_MS)
    await pair.confirm(await pair.held("2.00", now_ms() - 2_000))

    await pair.accepted("2.01", now_ms() - 1_000)
    await pair.held("1.00")


async def test_a_confirmed_rate_that_was_overtaken_stays_unused(pair: PairApi) -> None:
    start = now_ms() - MINUTE_MS
    await pair.accepted("1.00", start)
    held = await pair.held("1.10", start + 1_000)
    newest = await pair.accepted("1.001", start + 2_000)

    await pair.confirm(held)

    assert (await pair.rate_at(now_ms())).rate_id == newest
    assert (await pair.rate_at(start + 1_500)).rate_id == held

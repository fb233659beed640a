"""A small storm of retries: every answer is lost, and every id is asked for six times."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.admission import GREED, Admission
from service.embedded import EmbeddedValkey
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.steps import bet
from tests.wallet_api import wallet_api

IDS = 200
ATTEMPTS = 6
PATIENCE_S = 0.1
MOST_IN_FLIGHT = 40


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


class WatchedAdmission(Admission):
    """Remembers the most calls that were ever in flight at once."""

    most_seen = 0
    admitted = 0

    def enter(self, source_id: str, *, greed: int = GREED) -> None:
        super().enter(source_id, greed=greed)
        WatchedAdmission.admitted += 1
        WatchedAdmission.most_seen = max(self.most_seen, self.in_flight)


async def attempt(seat: Seat, name: str) -> str:
    """One call, however it ends; its answer is lost on whoever sent it."""
    try:
        await seat.api.transact(seat.source_id, seat.player_id, [bet(name, "1.00")], timeout_s=PATIENCE_S)
    except Refused as refused:
        return refused.code
    return "OK"


async def storm(seat: Seat, number: int) -> Counter[str]:
    return Counter([await attempt(seat, f"b{number}") for _ in range(ATTEMPTS)])


async def test_a_storm_of_retries_takes_no_bet_twice_and_calls_in_flight_stay_bounded(
    ground: Grounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.server.Admission", WatchedAdmission)
    async with (
        ground.serving(max_calls_in_flight=MOST_IN_FLIGHT) as server,
        wallet_api(server.address) as api,
    ):
        seats = [await seated(api, start="100.00") for _ in range(4)]
        each = IDS // len(seats)
        admitted_before = WatchedAdmission.admitted

        told = await asyncio.gather(*(storm(seat, number) for seat in seats for number in range(each)))

        endings = sum(told, Counter[str]())
        assert endings.total() == IDS * ATTEMPTS
        assert endings["OK"] < endings.total(), "it was no storm"
        assert WatchedAdmission.admitted > admitted_before
        assert WatchedAdmission.most_seen <= MOST_IN_FLIGHT
        for seat in seats:
            for number in range(each):
                await seat.one(bet(f"b{number}", "1.00"))
            wallet = await seat.balance()
            assert (wallet.cash, wallet.version) == (f"{100 - each}.00", 2 + each)

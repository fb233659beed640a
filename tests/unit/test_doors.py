"""By whose share a call comes in, and that no one's callbacks take the places of all others."""

from collections.abc import Callable
from typing import Any

from persistence.calls import RateLimit
from persistence.errors import Overloaded, Shortage
from service.admission import Admission
from service.interceptors.doors import Doors
from service.rate_limits import RateLimits
from stakehold.v1 import admin_service_pb2, provider_service_pb2, wallet_service_pb2
from tests.providers_house import ARCADE, HUB88

CALLBACK = "/stakehold.v1.ProviderService/HandleCallback"
GET_WALLET = "/stakehold.v1.WalletService/GetWallet"
SET_WALLET_STATUS = "/stakehold.v1.AdminService/SetWalletStatus"
DEBIT = "/stakehold.v1.WalletService/Debit"


class Context:
    """Of a caller that names no deadline."""

    def time_remaining(self) -> float | None:
        return None


class House:
    """A hundred places, and two providers."""

    def __init__(self, limit_of: Callable[[str], RateLimit | None] = lambda source_id: None) -> None:
        self.admission = Admission(100)
        self._doors = Doors(
            RateLimits(limit_of), self.admission, Admission(100), is_provider={HUB88, ARCADE}.__contains__
        )

    def call(self, method: str, request: Any) -> str | None:
        """Comes in and stays; what it has to leave with."""
        enter, _ = self._doors.of(method)
        return enter(request, Context())

    def leave(self, method: str, share: str) -> None:
        _, leave = self._doors.of(method)
        leave(share)

    def callback(self, provider_id: str) -> str | None:
        return self.call(CALLBACK, provider_service_pb2.HandleCallbackRequest(provider_id=provider_id))

    def flood(self, call: Callable[[int], object]) -> Overloaded:
        """Calls that come in and stay, until one is shed."""
        for number in range(1000):
            try:
                call(number)
            except Overloaded as shed:
                return shed
        raise AssertionError("none was shed")


def test_callbacks_of_one_provider_leave_room_for_anothers_and_for_calls_without_a_source() -> None:
    house = House()

    shed = house.flood(lambda number: house.callback(HUB88))

    assert (shed.cause, shed.source_id) == (Shortage.SOURCE, f"provider/{HUB88}")
    house.callback(ARCADE)
    house.call(GET_WALLET, wallet_service_pb2.GetWalletRequest())


def test_reads_of_wallets_leave_room_for_whoever_freezes_one() -> None:
    house = House()

    shed = house.flood(lambda number: house.call(GET_WALLET, wallet_service_pb2.GetWalletRequest()))

    assert shed.source_id == "service/WalletService"
    house.call(SET_WALLET_STATUS, admin_service_pb2.SetWalletStatusRequest())


def test_all_made_up_providers_share_one_share() -> None:
    house = House()

    shed = house.flood(lambda number: house.callback(f"made-up-{number}"))

    assert (house.admission.in_flight, house.admission.sources) == (80, 1)
    assert shed.source_id == "provider/"
    house.callback(HUB88)
    house.callback(ARCADE)


def test_a_callback_leaves_with_what_it_came_in_with() -> None:
    house = House()
    shares = [house.callback(provider_id) for provider_id in (HUB88, ARCADE, "nobody")]

    for share in shares:
        assert share is not None
        house.leave(CALLBACK, share)

    assert (house.admission.in_flight, house.admission.sources) == (0, 0)


def test_a_providers_share_is_not_its_sources_and_has_no_rate_limit_here() -> None:
    house = House(lambda source_id: RateLimit(calls_per_s=1, burst=1))
    for _ in range(3):
        house.callback(HUB88)

    house.call(DEBIT, wallet_service_pb2.DebitRequest(source_id=HUB88))

    assert house.admission.sources == 2

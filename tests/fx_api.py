"""FxService over a real channel, with pairs that no other test has."""

import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from stakehold.v1 import admin_service_pb2 as admin_pb
from stakehold.v1 import fx_service_pb2 as pb
from stakehold.v1.admin_service_pb2_grpc import AdminServiceStub
from stakehold.v1.fx_service_pb2_grpc import FxServiceStub
from tests.answers import Refused, refused
from tests.wallet_api import TIMEOUT_S

if TYPE_CHECKING:  # these exist for type checkers only
    from stakehold.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from stakehold.v1.fx_service_pb2_grpc import FxServiceAsyncStub

DAY_S = 86_400
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
_numbers = count(1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def refusal(call: Awaitable[Any]) -> Refused:
    """Of a call that has to be refused."""
    with pytest.raises(Refused) as caught:
        await call
    return caught.value


def told(refused: Refused) -> tuple[str, str, dict[str, str]]:
    """Code, reason and metadata."""
    return refused.code, refused.reason, dict(refused.details.metadata)


def timestamp(unix_ms: int) -> Timestamp:
    made = Timestamp()
    made.FromMilliseconds(unix_ms)
    return made


@dataclass(frozen=True, slots=True)
class FxApi:
    """``call`` raises Refused for any answer other than OK."""

    fx: "FxServiceAsyncStub"
    admin: "AdminServiceAsyncStub"
    channel: grpc.aio.Channel | None = None

    async def call(self, request: Any) -> Any:
        """Sends a request to the method that it is named after."""
        method = getattr(self.fx, type(request).__name__.removesuffix("Request"))
        try:
            return await method(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def currency(self, scale: int = 2) -> str:
        """A new one."""
        code = f"CUR{next(_numbers):04}"
        currency = admin_pb.Currency(
            currency_code=code,
            display_name=code,
            scale=scale,
            kind=admin_pb.CURRENCY_KIND_CRYPTO,
            status=admin_pb.CURRENCY_STATUS_ENABLED,
        )
        await self.admin.PutCurrency(admin_pb.PutCurrencyRequest(currency=currency), timeout=TIMEOUT_S)
        return code

    async def pair(self, *, scales: tuple[int, int] = (2, 2), **limits: Any) -> "PairApi":
        """A pair of two new currencies."""
        base, quote = await self.currency(scales[0]), await self.currency(scales[1])
        made = PairApi(self, base, quote)
        await made.put(**limits)
        return made


@dataclass(frozen=True, slots=True)
class PairApi:
    """Calls about one pair."""

    api: FxApi
    base: str
    quote: str

    def limits(self, **limits: Any) -> pb.Pair:
        """By default, rates live for a day, a per cent is a jump, and five take a second person."""
        asked = {"stale_after_s": DAY_S, "jump_bps": 100, "two_person_bps": 500, **limits}
        return pb.Pair(base=self.base, quote=self.quote, **asked)

    async def put(self, **limits: Any) -> None:
        await self.api.call(pb.PutPairRequest(pair=self.limits(**limits)))

    def rate(self, mid: str, published_ms: int) -> pb.PushedRate:
        return pb.PushedRate(
            base=self.base, quote=self.quote, mid=mid, published_time=timestamp(published_ms)
        )

    async def push(
        self, mid: str, published_ms: int | None = None, *, source: str = "feed", by: str = ""
    ) -> pb.PushResult:
        rate = self.rate(mid, now_ms() if published_ms is None else published_ms)
        request = pb.PushRatesRequest(source=source, rates=[rate], pushed_by=by)
        [result] = (await self.api.call(request)).results
        assert isinstance(result, pb.PushResult)
        return result

    async def accepted(self, mid: str, published_ms: int | None = None, *, by: str = "") -> int:
        """Pushes what has to be accepted; its id."""
        result = await self.push(mid, published_ms, by=by)
        assert result.outcome == pb.PUSH_OUTCOME_ACCEPTED, result
        return result.rate_id

    async def held(self, mid: str, published_ms: int | None = None, *, by: str = "") -> int:
        """Pushes what has to be held; its id."""
        result = await self.push(mid, published_ms, by=by)
        assert result.outcome == pb.PUSH_OUTCOME_HELD, result
        return result.rate_id

    async def confirm(self, rate_id: int, *, by: str = "bob") -> pb.Rate:
        response = await self.api.call(pb.ConfirmRateRequest(rate_id=rate_id, by=by, reason="looked it up"))
        assert isinstance(response, pb.ConfirmRateResponse)
        return response.rate

    async def reject(self, rate_id: int, *, by: str = "bob") -> pb.Rate:
        response = await self.api.call(pb.RejectRateRequest(rate_id=rate_id, by=by, reason="a slip"))
        assert isinstance(response, pb.RejectRateResponse)
        return response.rate

    async def mid(self) -> str:
        """What a conversion of base is made of now."""
        return (await self.conversion()).mid_rate

    async def conversion(self, **asked: Any) -> pb.GetConversionResponse:
        response = await self.api.call(self.conversion_request(**asked))
        assert isinstance(response, pb.GetConversionResponse)
        return response

    def conversion_request(self, **asked: Any) -> pb.GetConversionRequest:
        return pb.GetConversionRequest(
            **{
                "currency_code": self.base,
                "wallet_currency_code": self.quote,
                "side": pb.CONVERSION_SIDE_PAID,
                **asked,
            }
        )

    async def rate_at(self, at_ms: int, known_ms: int | None = None) -> pb.Rate:
        request = pb.GetRateAtRequest(base=self.base, quote=self.quote, time=timestamp(at_ms))
        if known_ms is not None:
            request.known_time.CopyFrom(timestamp(known_ms))
        response = await self.api.call(request)
        assert isinstance(response, pb.GetRateAtResponse)
        return response.rate

    async def waiting(self) -> list[int]:
        """The ids of this pair's rates that wait for a decision."""
        rates, token = [], ""
        while True:
            page = await self.api.call(pb.ListHeldRatesRequest(page_size=2, page_token=token))
            rates += page.rates
            token = page.next_page_token
            if not token:
                return [rate.rate_id for rate in rates if (rate.base, rate.quote) == (self.base, self.quote)]


@asynccontextmanager
async def fx_api(address: str) -> AsyncIterator[FxApi]:
    """Through a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield FxApi(FxServiceStub(channel), AdminServiceStub(channel), channel)

"""What the benchmark needs before it can send money."""

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from stakehold.v1 import admin_service_pb2, admin_service_pb2_grpc, fx_service_pb2, fx_service_pb2_grpc
from tests.bench.workload import BOUGHT_CURRENCY, CURRENCY, FOREIGN_CURRENCY, SOURCE

_TIMEOUT_S = 10.0
_DAY_S = 86_400
_MID_RATES = {(FOREIGN_CURRENCY, CURRENCY): "1.172384", (CURRENCY, BOUGHT_CURRENCY): "1.0893"}


async def put_source(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        source = admin_service_pb2.Source(
            source_id=SOURCE,
            display_name="The benchmark",
            foreign_currency=admin_service_pb2.FOREIGN_CURRENCY_POLICY_CONVERT,
        )
        await stub.PutSource(admin_service_pb2.PutSourceRequest(source=source), timeout=_TIMEOUT_S)


async def put_rates(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = fx_service_pb2_grpc.FxServiceStub(channel)
        now = Timestamp()
        now.GetCurrentTime()
        for (base, quote), mid in _MID_RATES.items():
            pair = fx_service_pb2.Pair(
                base=base, quote=quote, stale_after_s=_DAY_S, jump_bps=1000, two_person_bps=1000
            )
            await stub.PutPair(fx_service_pb2.PutPairRequest(pair=pair), timeout=_TIMEOUT_S)
            rate = fx_service_pb2.PushedRate(base=base, quote=quote, mid=mid, published_time=now)
            request = fx_service_pb2.PushRatesRequest(source=SOURCE, rates=[rate])
            await stub.PushRates(request, timeout=_TIMEOUT_S)

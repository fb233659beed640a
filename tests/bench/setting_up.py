"""What the benchmark needs before it can send money."""

import grpc

from stakehold.v1 import admin_service_pb2, admin_service_pb2_grpc
from tests.bench.workload import SOURCE


async def put_source(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        source = admin_service_pb2.Source(source_id=SOURCE, display_name="The benchmark")
        await stub.PutSource(admin_service_pb2.PutSourceRequest(source=source), timeout=10.0)

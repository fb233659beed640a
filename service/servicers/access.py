"""AccessService: reads the access log."""

from typing import Any

from grpc.aio import ServicerContext

from persistence.postgres.access_log import AccessReader
from service.conversions.access import access_page_message, read_access_filter
from service.conversions.ledger import read_page_size
from service.servicers.deadlines import Deadlines
from stakehold.v1 import access_service_pb2 as pb
from stakehold.v1 import access_service_pb2_grpc

Context = ServicerContext[Any, Any]


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """Answers from Postgres alone."""

    def __init__(self, reader: AccessReader, deadlines: Deadlines) -> None:
        self._reader = reader
        self._deadlines = deadlines

    async def ListAccessRecords(
        self, request: pb.ListAccessRecordsRequest, context: Context
    ) -> pb.ListAccessRecordsResponse:
        page = await self._reader.list(
            read_access_filter(request),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        return access_page_message(page)

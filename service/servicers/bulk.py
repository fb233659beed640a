"""BulkService: many commands in one call."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from grpc.aio import Server, ServicerContext

from persistence.errors import FieldInvalid
from service.admission import Admission
from service.callers.gate import Gate
from service.command_stream import CommandStream
from service.conversions.bulk import UNREADABLE, Commands, read_batch, read_stream_request, require_size
from service.flow import Flow, Roads
from service.servicers.deadlines import Deadlines
from stakehold.v1 import bulk_service_pb2 as pb
from stakehold.v1 import command_pb2

Context = ServicerContext[Any, Any]

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["BulkService"].full_name
_BATCH = f"/{SERVICE_NAME}/Batch"
_STREAM = f"/{SERVICE_NAME}/Stream"


class BulkServicer:
    """Answers from the hot path alone. ``admission`` counts the calls, not their commands."""

    def __init__(self, roads: Roads, gate: Gate, admission: Admission, deadlines: Deadlines) -> None:
        self._roads = roads
        self._gate = gate
        self._admission = admission
        self._deadlines = deadlines

    async def Batch(self, commands: Commands, context: Context) -> pb.BatchResponse:
        require_size(commands)
        deadline = self._deadlines.to_answer_before(context)
        results: list[command_pb2.CommandResult | None] = [None] * len(commands)
        flow: Flow[int] = Flow(
            self._roads, self._gate.commands(_BATCH, context), results.__setitem__, method=_BATCH
        )
        try:
            for index, command in enumerate(commands):
                if command is None:
                    flow.refuse(index, FieldInvalid("operation", UNREADABLE))
                else:
                    flow.add(index, command, deadline=deadline)
            flow.close()
            await flow.run()
        finally:
            flow.abandon()
        return pb.BatchResponse(results=[result for result in results if result is not None])

    async def Stream(
        self, messages: AsyncIterator[pb.StreamRequest | None], context: Context
    ) -> AsyncIterator[pb.StreamResponse]:
        has_deadline = context.time_remaining() is not None
        latest = self._deadlines.to_answer_before(context) if has_deadline else None
        stream = CommandStream(
            self._roads,
            self._gate.commands(_STREAM, context),
            messages,
            method=_STREAM,
            deadline_of=lambda: self._deadlines.of_one_more(latest),
            latest=latest,
            stopping=self._admission.stopping,
        )
        async with aclosing(stream.answers()) as answers:
            async for answer in answers:
                yield answer


def add_bulk_service(servicer: BulkServicer, server: Server) -> None:
    """As the generated function does, but for what reads the messages: commands that cannot be read must not
    take others with them.
    """
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Batch": grpc.unary_unary_rpc_method_handler(
            servicer.Batch,
            request_deserializer=read_batch,
            response_serializer=pb.BatchResponse.SerializeToString,
        ),
        "Stream": grpc.stream_stream_rpc_method_handler(
            servicer.Stream,
            request_deserializer=read_stream_request,
            response_serializer=pb.StreamResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))

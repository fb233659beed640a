"""ProviderService: callbacks of providers, and the sessions that they name."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from grpc.aio import ServicerContext

from service.conversions.providers import (
    callback_response,
    new_token,
    read_delivery,
    read_new_session,
    read_provider_id,
    read_token,
    session_message,
)
from service.providers.book import ProviderBook
from service.providers.callbacks import Callbacks
from service.providers.sessions import Sessions, system_now
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import provider_service_pb2 as pb
from stakehold.v1 import provider_service_pb2_grpc

Context = ServicerContext[Any, Any]


class ProviderServicer(provider_service_pb2_grpc.ProviderServiceServicer):
    """Answers a callback in its provider's words, also where something is down."""

    def __init__(
        self,
        callbacks: Callbacks,
        sessions: Sessions,
        book: ProviderBook,
        registry: Registry,
        deadlines: Deadlines,
        *,
        now: Callable[[], datetime] = system_now,
    ) -> None:
        self._callbacks = callbacks
        self._sessions = sessions
        self._book = book
        self._registry = registry
        self._deadlines = deadlines
        self._now = now

    async def HandleCallback(
        self, request: pb.HandleCallbackRequest, context: Context
    ) -> pb.HandleCallbackResponse:
        delivery = read_delivery(request, now=self._now())
        answer = await self._callbacks.take(delivery, deadline=self._deadlines.to_answer_before(context))
        return callback_response(answer)

    async def OpenSession(self, request: pb.OpenSessionRequest, context: Context) -> pb.OpenSessionResponse:
        self._book.provider(read_provider_id(request.provider_id))
        token = read_token(request.token) if request.token else new_token()
        new = read_new_session(request, self._registry, now=self._now())
        session = await self._sessions.open(token, new, deadline=self._deadlines.of(context))
        return pb.OpenSessionResponse(session=session_message(session), token=token)

    async def CloseSession(
        self, request: pb.CloseSessionRequest, context: Context
    ) -> pb.CloseSessionResponse:
        token = read_token(request.token)
        session = await self._sessions.close(token, deadline=self._deadlines.of(context))
        return pb.CloseSessionResponse(session=session_message(session))

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        token = read_token(request.token)
        session = await self._sessions.read(token, deadline=self._deadlines.of(context))
        return pb.GetSessionResponse(session=session_message(session))

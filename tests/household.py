"""The service with callers that it knows, each over a connection of its own, by a certificate or a token."""

import importlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import stakehold.v1
from service.server import RunningServer
from stakehold.v1 import access_service_pb2 as access_pb
from tests.answers import refused
from tests.authorities import channel_credentials
from tests.entrance import Premises, issuer_entry, premises
from tests.serving import Grounds
from tests.token_issuer import TokenServer, token_server

TIMEOUT_S = 30.0
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))

ROLES: dict[str, dict[str, Any]] = {
    "slots": {"roles": ["game"], "sources": ["slots"]},
    "reels": {"roles": ["game"], "sources": ["reels"]},
    "book": {"roles": ["sportsbook"], "sources": ["book"]},
    "psp": {"roles": ["cashier"], "sources": ["psp"]},
    "promo": {"roles": ["promotions"], "sources": ["promo"]},
    "lobby": {"roles": ["platform"]},
    "olga": {"roles": ["operator"]},
    "ann": {"roles": ["approver"]},
    "abe": {"roles": ["approver"]},
    "bo": {"roles": ["operator", "approver", "rates"]},
    "ada": {"roles": ["admin"]},
    "aud": {"roles": ["auditor"]},
    "nobody": {},
    "gateway": {"carries_tokens": True},
}
"""Who there is, each known by a certificate and by a token that the gateway carries."""


@cache
def _methods() -> dict[str, tuple[str, Any]]:
    """The method's path and its response's class, by the request's full name."""
    found: dict[str, tuple[str, Any]] = {}
    for path in sorted(Path(next(iter(stakehold.v1.__path__))).glob("*_service_pb2.py")):
        module = importlib.import_module(f"stakehold.v1.{path.stem}")
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                name = f"/{service.full_name}/{method.name}"
                found[method.input_type.full_name] = (name, GetMessageClass(method.output_type))
    return found


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at the door."""

    channel: grpc.aio.Channel
    metadata: tuple[tuple[str, str], ...] = ()

    async def ask(self, request: Message, *, timeout_s: float = TIMEOUT_S) -> Any:
        """The unary call whose request it is. Raises Refused."""
        path, response = _methods()[request.DESCRIPTOR.full_name]
        call: Any = self.channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            return await call(request, metadata=self.metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise refused(error) from None

    async def send(self, requests: Iterable[Message], *, answers_stream: bool) -> Any:
        """A call whose requests are a stream; all responses, or the one. Raises Refused."""
        sent = list(requests)
        path, response = _methods()[sent[0].DESCRIPTOR.full_name]
        make: Any = self.channel.stream_stream if answers_stream else self.channel.stream_unary
        call = make(
            path,
            request_serializer=type(sent[0]).SerializeToString,
            response_deserializer=response.FromString,
        )(iter(sent), metadata=self.metadata, timeout=TIMEOUT_S)
        try:
            return [answer async for answer in call] if answers_stream else await call
        except grpc.aio.AioRpcError as error:
            raise refused(error) from None

    async def access_records(self, **wanted: Any) -> list[access_pb.AccessRecord]:
        """What the log has, oldest first."""
        request = access_pb.ListAccessRecordsRequest(page_size=1000, **wanted)
        return list((await self.ask(request)).records)[::-1]


@dataclass(frozen=True, slots=True)
class Household:
    """A running server, and those who may come."""

    server: RunningServer
    premises: Premises
    issuer: TokenServer

    @asynccontextmanager
    async def visitor(
        self, name: str, *, by_token: bool = False, at_admin: bool = False
    ) -> AsyncIterator[Visitor]:
        shown = spiffe_id("gateway" if by_token else name)
        client = self.premises.client_authority.issue(uris=[shown])
        metadata = (("authorization", f"Bearer {self.issuer.token(name)}"),) if by_token else ()
        credentials = channel_credentials(self.premises.server_authority, client)
        address = self.server.admin_address if at_admin else self.server.address
        async with grpc.aio.secure_channel(address, credentials, options=_OWN_CONNECTION) as channel:
            yield Visitor(channel, metadata)


def spiffe_id(name: str) -> str:
    return f"spiffe://casino.example/{name}"


@asynccontextmanager
async def household(ground: Grounds, folder: Path, **changes: Any) -> AsyncIterator[Household]:
    """Over mutual TLS."""
    folder.mkdir(parents=True, exist_ok=True)
    made = premises(folder)
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(token_server())
        callers = [
            {
                "name": name,
                **what,
                "spiffe_ids": [spiffe_id(name)],
                "tokens": [{"issuer": issuer.issuer, "subject": name}],
            }
            for name, what in ROLES.items()
        ]
        made.write_callers(*callers, issuers=[issuer_entry(issuer)])
        server = await stack.enter_async_context(ground.serving(**made.settings(**changes)))
        yield Household(server, made, issuer)

"""The door of the service with nobody behind it but who says whom it has let in: real TLS, no ledger."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from persistence.errors import Unauthenticated
from service.callers.identifying import identified
from service.callers.opening import open_entrance
from service.embedded.ports import LOOPBACK
from service.settings import Settings
from tests.authorities import Authority, Issued, channel_credentials
from tests.token_issuer import AUDIENCE, TokenServer

WHO = "/tests.Door/Who"
TIMEOUT_S = 10.0
RELOAD_S = 0.02
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))


class NotLetIn(Exception):
    """``cause`` is empty where there was not even a connection."""

    def __init__(self, code: str, cause: str) -> None:
        super().__init__(f"{code} {cause}")
        self.code = code
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Premises:
    """The files of a server."""

    folder: Path
    server_authority: Authority
    client_authority: Authority

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def client_ca(self) -> Path:
        return self.folder / "clients.pem"

    @property
    def callers(self) -> Path:
        return self.folder / "callers.yaml"

    def write_callers(self, *callers: dict[str, Any], issuers: list[dict[str, Any]] | None = None) -> None:
        """At once, as whoever deploys it should."""
        written = self.folder / "callers.new"
        written.write_text(json.dumps({"callers": list(callers), "issuers": issuers or []}))
        written.rename(self.callers)

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "tls_cert_file": str(self.certificate),
            "tls_key_file": str(self.key),
            "tls_client_ca_file": str(self.client_ca),
            "callers_file": str(self.callers),
            "insecure_development": False,
            "reload_s": RELOAD_S,
            **changes,
        }


def premises(folder: Path) -> Premises:
    """With a certificate of the server, and one authority for clients."""
    made = Premises(folder, Authority("servers"), Authority("clients"))
    made.server_authority.issue_server().write(made.certificate, made.key)
    made.client_ca.write_bytes(made.client_authority.certificate)
    return made


def issuer_entry(server: TokenServer, **changes: Any) -> dict[str, Any]:
    return {
        "issuer": server.issuer,
        "audience": AUDIENCE,
        "jwks_url": server.url,
        "refetch_s": 0.01,
        **changes,
    }


@dataclass(frozen=True, slots=True)
class Entrance:
    """An open door. ``metrics`` are those of its server."""

    premises: Premises
    port: int
    metrics: CollectorRegistry

    @asynccontextmanager
    async def connected(
        self, client: Issued | None = None, *, authority: Authority | None = None
    ) -> AsyncIterator[grpc.aio.Channel]:
        """Through a connection of its own."""
        credentials = channel_credentials(authority or self.premises.server_authority, client)
        async with grpc.aio.secure_channel(
            f"{LOOPBACK}:{self.port}", credentials, options=_OWN_CONNECTION
        ) as channel:
            yield channel

    async def lets_in(
        self,
        client: Issued | None = None,
        *,
        token: str | None = None,
        authorizations: tuple[str, ...] = (),
    ) -> str:
        """Whom it takes the client for, and by what. Raises NotLetIn."""
        async with self.connected(client) as channel:
            return await who(channel, token=token, authorizations=authorizations)


async def who(
    channel: grpc.aio.Channel, *, token: str | None = None, authorizations: tuple[str, ...] = ()
) -> str:
    """Asks over a connection. Raises NotLetIn."""
    said = authorizations if token is None else (f"Bearer {token}", *authorizations)
    metadata = tuple(("authorization", text) for text in said)
    try:
        call: Any = channel.unary_unary(WHO)
        answer = await call(b"", metadata=metadata, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        code = error.code().name
        cause = (error.details() or "").partition(":")[0] if code == "UNAUTHENTICATED" else ""
        raise NotLetIn(code, cause) from None
    return cast("bytes", answer).decode()


@asynccontextmanager
async def entrance(premises: Premises, **changes: Any) -> AsyncIterator[Entrance]:
    """As `stakehold serve` opens it with these settings."""
    settings = Settings(valkey_url=SecretStr(""), postgres_url=SecretStr(""), **premises.settings(**changes))
    metrics = CollectorRegistry()
    async with AsyncExitStack() as stack:
        identifier, door = await open_entrance(settings, stack, metrics)

        async def answer(_: bytes, context: Any) -> bytes:
            try:
                caller = await identified(identifier, context)
            except Unauthenticated as unknown:
                context.set_code(grpc.StatusCode.UNAUTHENTICATED)
                context.set_details(f"{unknown.cause}: {unknown}")
                return b""
            return f"{caller.name} by {caller.identified_by}".encode()

        server = grpc.aio.server(options=(("grpc.max_metadata_size", 16 << 10),))
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Who": grpc.unary_unary_rpc_method_handler(answer)
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Door", handlers),))
        port = door.open(server, f"{LOOPBACK}:0", setting="STAKEHOLD_LISTEN")
        await server.start()
        stack.push_async_callback(server.stop, 0)
        yield Entrance(premises, port, metrics)

"""Alerts about who calls, seen firing while callers were nobody, files were nonsense, and providers lied."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc

from service.embedded import EmbeddedValkey, embedded_postgres
from service.embedded.ports import LOOPBACK, free_port
from stakehold.v1 import wallet_service_pb2
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests.alerts.timelines import FAULT_MIN, QUIET_MIN, Timeline, require_fires, scraped
from tests.alerts.watching import Watched, value_in, watched
from tests.answers import Refused
from tests.authorities import channel_credentials
from tests.deployment import migrate
from tests.entrance import Premises, premises
from tests.providers_house import ARCADE, HUB88, ProviderApi, provider_api, rsa_key, write_file
from tests.serving import Grounds
from tests.trace_collector import trace_collector
from tests.waiting import until

LONG = timedelta(days=30)
CALLER = {"name": "books", "roles": ["auditor"], "certificate_dns_names": ["books.casino.example"]}


@asynccontextmanager
async def behind_tls(ground: Grounds, files: Premises, **more: Any) -> AsyncIterator[tuple[str, str]]:
    """A server for callers with tokens: its address, and its metrics'."""
    listen = f"{LOOPBACK}:{free_port()}"
    files.server_authority.issue_server(ends_in=LONG).write(files.certificate, files.key)
    files.write_callers(CALLER)
    settings = files.settings(tls_client_certificates="optional", **more)
    async with ground.serving(metrics_listen=listen, **settings) as server:
        yield server.address, listen


async def text_of(listen: str) -> str:
    return await asyncio.to_thread(scraped, listen)


async def call_as_nobody(address: str, files: Premises, times: int) -> None:
    async with grpc.aio.secure_channel(address, channel_credentials(files.server_authority)) as channel:
        wallets = WalletServiceStub(channel)
        for _ in range(times):
            with suppress(grpc.aio.AioRpcError):
                await wallets.GetWallet(wallet_service_pb2.GetWalletRequest(player_id="ada"), timeout=5.0)


async def test_callers_whom_nobody_knows(ground: Grounds, tmp_path: Path) -> None:
    files, timeline = premises(tmp_path), Timeline()
    async with behind_tls(ground, files) as (address, listen):
        timeline.go_on(QUIET_MIN, serve=await text_of(listen))

        await call_as_nobody(address, files, 30)

        timeline.go_on(FAULT_MIN, serve=await text_of(listen))
    await asyncio.to_thread(require_fires, timeline, tmp_path, "StakeholdDeniedCalls")


async def test_denials_that_cannot_be_written(private_valkey: EmbeddedValkey, tmp_path: Path) -> None:
    files, timeline = premises(tmp_path), Timeline()
    async with embedded_postgres(tmp_path / "postgres", fsync=False) as postgres:
        await migrate(tmp_path, postgres.dsn)
        async with behind_tls(Grounds(private_valkey.url, postgres.dsn), files) as (address, listen):
            timeline.go_on(QUIET_MIN, serve=await text_of(listen))

            postgres.process.kill()
            await call_as_nobody(address, files, 1)

            async def is_told() -> bool:
                return value_in(await text_of(listen), "stakehold_access_log_failures_total") > 0

            await until(is_told, what="the access log fails", deadline_s=60.0)
            timeline.go_on(FAULT_MIN, serve=await text_of(listen))
    await asyncio.to_thread(require_fires, timeline, tmp_path, "StakeholdAccessLogFails")


async def test_a_certificate_that_ends_soon(ground: Grounds, tmp_path: Path) -> None:
    files, timeline = premises(tmp_path), Timeline()
    async with behind_tls(ground, files) as (_, listen):
        before = await text_of(listen)
        timeline.go_on(QUIET_MIN, serve=before)
        name = "stakehold_tls_certificate_expiry_timestamp_seconds"

        files.server_authority.issue_server(ends_in=timedelta(days=2)).write(files.certificate, files.key)

        async def is_taken() -> bool:
            return value_in(await text_of(listen), name) < value_in(before, name)

        await until(is_taken, what="the new certificate is taken")
        timeline.go_on(FAULT_MIN, serve=await text_of(listen))
    await asyncio.to_thread(require_fires, timeline, tmp_path, "StakeholdCertificateExpires")


async def test_a_callers_file_that_is_nonsense(ground: Grounds, tmp_path: Path) -> None:
    files, timeline = premises(tmp_path), Timeline()
    async with behind_tls(ground, files) as (_, listen):
        timeline.go_on(QUIET_MIN, serve=await text_of(listen))

        files.callers.write_text("callers: nonsense")

        async def is_refused() -> bool:
            return value_in(await text_of(listen), "stakehold_callers_reload_failures_total") > 0

        await until(is_refused, what="the new file is refused")
        timeline.go_on(FAULT_MIN, serve=await text_of(listen))
    await asyncio.to_thread(require_fires, timeline, tmp_path, "StakeholdFileUnusable")


@asynccontextmanager
async def provided(ground: Grounds, folder: Path) -> AsyncIterator[tuple[Watched, ProviderApi]]:
    """A server with three providers."""
    path = write_file(folder / "providers")
    async with (
        watched(ground, folder, providers_file=path, store_timeout_s=0.5) as server,
        provider_api(server.address) as api,
    ):
        for source in (HUB88, ARCADE):
            await api.wallets.put_source(source)
        yield server, api


async def test_callbacks_that_somebody_else_has_signed(ground: Grounds, tmp_path: Path) -> None:
    async with provided(ground, tmp_path) as (server, api):
        await server.is_well()

        for _ in range(8):
            with suppress(Refused):
                await api.hub88("/user/info", {"user": "ada"}, key=rsa_key("somebody else's"))

        await server.require_fires("StakeholdCallbackSignatureFailures")


async def test_callbacks_while_the_store_is_away(
    ground: Grounds, private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with provided(ground, tmp_path) as (server, api):
        await server.is_well()

        private_valkey.process.kill()
        await private_valkey.child.exited()
        for number in range(8):
            with suppress(Refused):
                bet = {"transaction_id": f"b{number}", "player_id": "ada", "currency": "EUR", "amount": "1"}
                await api.arcade("/bet", **bet)

        await server.require_fires("StakeholdCallbackFailures")


async def test_a_collector_that_takes_no_traces(ground: Grounds, tmp_path: Path) -> None:
    async with trace_collector() as collector:
        collector.status = 400
        traced = {"traces_endpoint": collector.endpoint, "traces_ratio": 1.0}
        async with watched(ground, tmp_path, **traced) as server:
            await server.is_well()

            await server.api.put_source("games")
            await server.until_above(0, "stakehold_trace_spans_dropped_total", cause="export")

            await server.require_fires("StakeholdTracesDropped")

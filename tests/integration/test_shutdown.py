"""SIGTERM under load: every call is answered or told that nothing was done, and the server ends in time."""

import asyncio
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.deployment import service_environment
from tests.integration.test_serve_command import started
from tests.serving import Grounds
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, wallet_api

CALLERS = 300
GRACE_S = 60


class Callers:
    """Each bets 0.01 again and again until the server is gone."""

    def __init__(self, seats: list[Seat]) -> None:
        self._seats = seats
        self.answers: dict[tuple[int, str], str] = {}

    async def call_until_refused(self, number: int) -> None:
        seat = self._seats[number % len(self._seats)]
        for count in range(1_000_000):
            name = (number % len(self._seats), f"b{number}-{count}")
            self.answers[name] = "none"
            try:
                await seat.one(bet(name[1], "0.01"))
            except Refused as refused:
                retry = "with a delay" if refused.details.retry_delay_ms else ""
                self.answers[name] = f"{refused.code} {refused.reason} {retry}".strip()
                return
            self.answers[name] = "OK"

    async def have_answers(self) -> bool:
        return Counter(self.answers.values())["OK"] > 500


async def test_every_call_under_way_is_answered_and_none_is_lost_silently(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    address = f"{LOOPBACK}:{free_port()}"
    settings = {"STAKEHOLD_SHUTDOWN_GRACE_S": str(GRACE_S)}
    environment = service_environment(private_valkey.url, ledger_dsn, address=address, settings=settings)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(started(tmp_path, environment))
        apis = [await stack.enter_async_context(wallet_api(address)) for _ in range(4)]
        seats = [await seated(api) for api in apis]
        callers = Callers(seats)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await reflection.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        await reflection.read()

        calling = [asyncio.create_task(callers.call_until_refused(number)) for number in range(CALLERS)]
        await until(callers.have_answers, what="there is load")
        server.process.send_signal(signal.SIGTERM)
        stopping_since = time.monotonic()
        await asyncio.wait_for(asyncio.gather(*calling), TIMEOUT_S)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        assert await server.exited() == 0
        assert time.monotonic() - stopping_since < GRACE_S / 4
        names = [(seat.source_id, seat.player_id) for seat in seats]

    told = Counter(callers.answers.values())
    assert told.keys() <= {"OK", "UNAVAILABLE STOPPING with a delay"}, told
    assert told["UNAVAILABLE STOPPING with a delay"] == CALLERS

    async with Grounds(private_valkey.url, ledger_dsn).serving() as after, wallet_api(after.address) as api:
        for index, (source_id, player_id) in enumerate(names):
            applied = 0
            for (whose, step_id), answer in callers.answers.items():
                if whose != index:
                    continue
                again = (await Seat(api, source_id, player_id).one(bet(step_id, "0.01"))).replayed
                assert again or answer != "OK", f"{step_id} was answered and is gone"
                assert not again or "STOPPING" not in answer, f"{step_id} was applied: {answer}"
                applied += 1
            (wallet,) = await api.balances(player_id)
            assert wallet.cash == f"{100 - applied / 100:.2f}"

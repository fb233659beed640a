"""The server is killed between any two steps of a callback: the provider's retry gets the answer that it
should have got, and the money moves once.

Nothing is mocked: the record is locked, or the store frozen, until the callback waits where it is to be
interrupted.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.answers import Refused
from tests.deployment import Deployment
from tests.faults.programs import Program
from tests.integration.providers.seats import Seat, seat
from tests.ledgers import Ledgers
from tests.providers_house import (
    HUB88,
    ProviderApi,
    Reply,
    hub88_bet,
    provider_api,
    write_file,
)
from tests.waiting import until
from tests.working import working

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]

BET = "/transaction/bet"
_SCRIPT_BYTES = 300
"""Less than a call of the script has."""


@pytest.fixture
def deployment_settings(tmp_path: Path) -> dict[str, str]:
    return {"STAKEHOLD_PROVIDERS_FILE": str(write_file(tmp_path / "providers"))}


@dataclass(frozen=True, slots=True)
class House:
    """A deployment with a player at a game, their bet, and a connection to the ledger."""

    deployment: Deployment
    api: ProviderApi
    one: Seat
    bet: dict[str, Any]
    sql: "asyncpg.Connection[asyncpg.Record]"

    def ask(self) -> "asyncio.Task[Reply]":
        return asyncio.create_task(self.api.hub88(BET, self.bet))

    async def recorded(self) -> int:
        count = await self.sql.fetchval("SELECT count(*) FROM providers.callbacks")
        assert isinstance(count, int)
        return count

    async def kill(self, asked: "asyncio.Task[Reply]") -> None:
        self.deployment.server.process.kill()
        await self.deployment.server.exited()
        with pytest.raises(Refused):
            await asked

    def unread_by_the_store(self) -> int:
        """Bytes that were sent to the store and that it has not read."""
        local = f":{self.deployment.valkey.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(
            int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(local) and row[3] == "01"
        )


@asynccontextmanager
async def house(deployment: Deployment) -> AsyncIterator[House]:
    async with provider_api(deployment.address) as api:
        await api.wallets.put_source(HUB88)
        await api.wallets.put_source("cashier")
        one = await seat(api)
        sql = await asyncpg.connect(deployment.ledger_dsn)
        try:
            yield House(deployment, api, one, hub88_bet(one.player, one.token), sql)
        finally:
            await sql.close()


async def require_done_once(made: House, *, duplicates: int) -> None:
    """By another server, when the provider asks it; and then again."""
    deployment = made.deployment
    program = Program("serve-again", ["serve"], deployment.environment, deployment.folder / "serve-again.log")
    program.start()
    try:

        async def answers() -> bool:
            try:
                return bool(await made.api.wallets.balances(made.one.player))
            except Refused:
                return False

        await until(answers, what="the other server answers", deadline_s=60.0)
        replies = [await made.api.hub88(BET, made.bet) for _ in range(2)]
        assert [reply.status for reply in replies] == ["RS_OK", "RS_OK"]
        assert replies[0].body == replies[1].body
        assert replies[0].said["balance"] == 9_000_000
        assert await made.api.cash(made.one.player) == "90.00"
        assert await made.recorded() == 1
        assert await made.sql.fetchval("SELECT times FROM providers.callback_duplicates") == duplicates
        await deployment.require_agreement()
        debits = await made.sql.fetchval(
            "SELECT count(*) FROM ledger.entries WHERE transaction_id = $1", made.bet["transaction_uuid"]
        )
        assert debits == 1
    finally:
        await program.stop()


async def test_killed_before_it_is_on_record_nothing_has_happened(private_deployment: Deployment) -> None:
    async with house(private_deployment) as made:
        async with made.sql.transaction():
            await made.sql.execute("LOCK TABLE providers.callbacks IN EXCLUSIVE MODE")
            asked = made.ask()

            async def waits() -> bool:
                return bool(await made.sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

            await until(waits, what="the callback waits for its record")
            assert await made.api.cash(made.one.player) == "100.00"
            await made.kill(asked)
        assert await made.recorded() == 0
        await require_done_once(made, duplicates=1)


async def test_killed_between_its_record_and_the_money_the_retry_is_the_first(
    private_deployment: Deployment,
) -> None:
    store = private_deployment.valkey.process
    async with house(private_deployment) as made:
        store.send_signal(signal.SIGSTOP)
        try:
            asked = made.ask()

            async def is_recorded() -> bool:
                return await made.recorded() == 1

            await until(is_recorded, what="the callback is on record")
            await made.kill(asked)
        finally:
            store.send_signal(signal.SIGCONT)
        await require_done_once(made, duplicates=2)


async def test_killed_between_the_money_and_the_answer_the_retry_gets_that_answer(
    private_deployment: Deployment,
) -> None:
    store, server = private_deployment.valkey.process, private_deployment.server.process
    async with house(private_deployment) as made:
        store.send_signal(signal.SIGSTOP)
        try:
            before = made.unread_by_the_store()
            asked = made.ask()

            async def is_sent() -> bool:
                return made.unread_by_the_store() > before + _SCRIPT_BYTES

            await until(is_sent, what="the script is on its way to the store")
            server.send_signal(signal.SIGSTOP)
        finally:
            store.send_signal(signal.SIGCONT)

        async def is_in_the_ledger() -> bool:
            return bool(
                await made.sql.fetchval(
                    "SELECT count(*) FROM ledger.entries WHERE transaction_id = $1",
                    made.bet["transaction_uuid"],
                )
            )

        await until(is_in_the_ledger, what="the money has moved", deadline_s=60.0)
        await made.kill(asked)
        assert await made.sql.fetchval("SELECT count(*) FROM providers.callback_answers") == 0
        await require_done_once(made, duplicates=2)


async def test_without_postgres_a_callback_is_not_done_and_has_to_come_again(
    private_deployment: Deployment, ledgers: Ledgers
) -> None:
    async with house(private_deployment) as made:
        await made.sql.close()
        await ledgers.cut_off(private_deployment.ledger_dsn)
        try:
            refused = await made.api.hub88(BET, made.bet)
        finally:
            await ledgers.let_in_again(private_deployment.ledger_dsn)

        assert (refused.status_code, refused.status) == (503, "RS_ERROR_UNKNOWN")
        assert refused.said["request_uuid"] == made.bet["request_uuid"]
        assert await made.api.cash(made.one.player) == "100.00"

        async def is_done() -> bool:
            return (await made.api.hub88(BET, made.bet)).status == "RS_OK"

        await until(is_done, what="the callback is taken again", deadline_s=60.0)
        assert await made.api.cash(made.one.player) == "90.00"


async def test_without_the_store_a_callback_has_to_come_again(private_deployment: Deployment) -> None:
    store = private_deployment.valkey.process
    async with house(private_deployment) as made:
        store.send_signal(signal.SIGSTOP)
        try:
            refused = await made.ask()
        finally:
            store.send_signal(signal.SIGCONT)

        async def is_done() -> bool:
            return (await made.api.hub88(BET, made.bet)).status == "RS_OK"

        assert (refused.status_code, refused.status) == (503, "RS_ERROR_UNKNOWN")
        await until(is_done, what="the callback is taken again", deadline_s=60.0)
        assert await made.api.cash(made.one.player) == "90.00"


async def test_a_worker_erases_what_old_callbacks_contained(private_deployment: Deployment) -> None:
    async with house(private_deployment) as made:
        await made.ask()
        settings = {"STAKEHOLD_CALLBACK_RETENTION_DAYS": "0.000001"}
        async with working(private_deployment, settings=settings) as worker:

            async def is_erased() -> bool:
                return bool(
                    await made.sql.fetchval(
                        "SELECT count(*) FROM providers.callbacks WHERE erased_time IS NOT NULL"
                    )
                )

            await until(is_erased, what="the callback is erased", deadline_s=60.0)

            async def is_counted() -> bool:
                return worker.metric("stakehold_erased_callbacks_total") == 1.0

            await until(is_counted, what="it is counted")
        assert (await made.ask()).said["balance"] == 9_000_000

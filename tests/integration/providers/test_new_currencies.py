"""Callbacks in a currency that another server put a moment ago are done, whatever this one knows yet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from service.embedded import EmbeddedValkey
from tests.ledgers import Ledgers
from tests.providers_house import ARCADE, ProviderApi, provider_api, write_file
from tests.reference import Currency
from tests.serving import grounds
from tests.steps import deposit

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEVER_S = 86_400.0
CALL_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Two:
    """Two servers, the second of which does not read the registry again by itself."""

    first: ProviderApi
    second: ProviderApi
    ledger_dsn: str


@asynccontextmanager
async def two_servers(ledgers: Ledgers, valkey: EmbeddedValkey, folder: Path) -> AsyncIterator[Two]:
    path = write_file(folder)
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving(providers_file=path) as first,
        provider_api(first.address) as here,
    ):
        for source in (ARCADE, "cashier"):
            await here.wallets.put_source(source)
        async with (
            ground.serving(
                providers_file=path, registry_refresh_s=NEVER_S, call_timeout_s=CALL_TIMEOUT_S
            ) as second,
            provider_api(second.address) as there,
        ):
            yield Two(here, there, ground.ledger_dsn)


async def test_a_currency_that_another_server_put_is_known_at_once(
    valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    async with two_servers(ledgers, valkey, tmp_path) as two:
        await two.first.wallets.put_currency("GEM", Currency(2))
        await two.first.wallets.open_wallet("ada", "GEM")
        await two.first.wallets.transact("cashier", "ada", [deposit("start", "100.00", "GEM")])
        common = {"player_id": "ada", "currency": "GEM"}

        bet = await two.second.arcade("/bet", transaction_id="b1", amount="10.00", **common)
        win = await two.second.arcade("/win", transaction_id="w1", amount="1.00", bet_id="b1", **common)
        unknown = await two.second.arcade(
            "/bet", player_id="ada", currency="QQQ", transaction_id="b2", amount="1.00"
        )

        assert (bet.said, win.said["balance"]) == (
            {"status": "ok", "currency": "GEM", "balance": "90.00"},
            "91.00",
        )
        assert unknown.status == "currency"


async def test_a_currency_that_cannot_be_looked_up_is_asked_for_again(
    valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    async with two_servers(ledgers, valkey, tmp_path) as two:
        bet = {"player_id": "ada", "currency": "QQQ", "transaction_id": "b1", "amount": "1.00"}
        sql = await asyncpg.connect(two.ledger_dsn)
        try:
            async with sql.transaction():
                await sql.execute("LOCK TABLE registry.currencies IN ACCESS EXCLUSIVE MODE")
                while_away = await two.second.arcade("/bet", **bet)
            afterwards = await two.second.arcade("/bet", **bet)
        finally:
            await sql.close()

        assert (while_away.status_code, while_away.status) == (503, "retry")
        assert (afterwards.status_code, afterwards.status) == (200, "currency")

"""A currency that another server put a moment ago."""

from service.embedded import EmbeddedValkey
from tests import reference
from tests.ledgers import Ledgers
from tests.serving import grounds
from tests.steps import bet, deposit, rollback
from tests.wallet_api import new_name, wallet_api

GEM = "GEM"


async def test_a_server_learns_a_wallets_currency_before_it_tells_a_balance(
    ledgers: Ledgers, valkey: EmbeddedValkey
) -> None:
    player = new_name("player")
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving() as first,
        ground.serving(registry_refresh_s=3600) as second,
        wallet_api(first.address) as there,
        wallet_api(second.address) as here,
    ):
        await here.put_source("games")
        await there.put_currency(GEM, reference.Currency(3))
        await there.open_wallet(player, GEM)
        await there.put_source("games")
        await there.transact("games", player, [deposit("d", "5.000", GEM), bet("b", "2.000", GEM)])

        (undone,) = await here.transact("games", player, [rollback("r", "b")])

    assert undone.outcome == "APPLIED"
    assert undone.now is not None
    assert undone.now.cash == "5.000"

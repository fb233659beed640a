"""Players who sit down at a provider's game."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.embedded import EmbeddedValkey
from tests.ledgers import Ledgers
from tests.providers_house import HUB88, ProviderApi, provider_api, write_file
from tests.serving import grounds
from tests.steps import deposit
from tests.wallet_api import new_name


@dataclass(frozen=True, slots=True)
class Seat:
    """A player with 100.00 in their currency, and the token of their session."""

    player: str
    token: str


async def seat(house: ProviderApi, currency: str = "EUR", amount: str = "100.00") -> Seat:
    player = new_name("hub88-player")
    await house.wallets.open_wallet(player, currency)
    await house.wallets.transact("cashier", player, [deposit("start", amount, currency)])
    return Seat(player, await house.open_session(player, currency))


@asynccontextmanager
async def two_servers(
    ledgers: Ledgers, valkey: EmbeddedValkey, folder: Path
) -> AsyncIterator[tuple[ProviderApi, ProviderApi]]:
    """Of one house, with the sources that its players need."""
    path = write_file(folder)
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving(providers_file=path) as first,
        ground.serving(providers_file=path) as second,
        provider_api(first.address) as here,
        provider_api(second.address) as there,
    ):
        for source in (HUB88, "cashier"):
            await here.wallets.put_source(source)
        yield here, there

"""Players who sit down at a provider's game."""

from dataclasses import dataclass

from tests.providers_house import ProviderApi
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

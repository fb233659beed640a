"""Which wallet a player's amounts in other currencies went to last, so that a call can bring the rate."""

from collections import OrderedDict

from persistence.transactions import PlayerId

_MOST = 100_000


class WalletHints:
    """A hint that is wrong, or was forgotten, costs one more run of the script."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._currencies: OrderedDict[PlayerId, str] = OrderedDict()

    def of(self, player_id: PlayerId) -> str:
        """The wallet's currency, or ""."""
        currency = self._currencies.get(player_id, "")
        if currency:
            self._currencies.move_to_end(player_id)
        return currency

    def learn(self, player_id: PlayerId, currency: str) -> None:
        self._currencies[player_id] = currency
        self._currencies.move_to_end(player_id)
        if len(self._currencies) > self._most:
            self._currencies.popitem(last=False)

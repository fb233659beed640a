"""Wallets, currencies, and what is read of a player."""

from collections.abc import Mapping

from persistence.errors.roots import FieldInvalid, NotFound, StakeholdError, briefly


class WalletNotFound(NotFound):
    """The player has no wallet in this currency, or none at all."""

    def __init__(self, player_id: str, currency: str = "") -> None:
        super().__init__(f"player {player_id} has no {currency} wallet".replace("  ", " "))
        self.player_id = player_id
        self.currency = currency

    def metadata(self) -> Mapping[str, str]:
        return {"player_id": self.player_id, "currency_code": self.currency}


class SourceNotFound(NotFound):
    """The source was never put."""

    def __init__(self, source_id: str) -> None:
        self.source_id = briefly(source_id)
        super().__init__(f"source {self.source_id} is not known")

    def metadata(self) -> Mapping[str, str]:
        return {"source_id": self.source_id}


class BalanceNotFound(NotFound):
    """The ledger has no such version of the wallet, or none at that moment."""

    def __init__(self, message: str, *, currency: str, version: int | None) -> None:
        super().__init__(message)
        self.currency = currency
        self.version = version

    def metadata(self) -> Mapping[str, str]:
        return {"currency_code": self.currency, "version": "" if self.version is None else str(self.version)}


class SlipNotFound(NotFound):
    """The source has opened no slip for the player under this id."""

    def __init__(self, slip_id: str) -> None:
        super().__init__(f"there is no slip {slip_id}")
        self.slip_id = slip_id

    def metadata(self) -> Mapping[str, str]:
        return {"slip_id": self.slip_id}


class RoundNotFound(NotFound):
    """Nobody has named the round, or the player's source and game have none of that id."""

    def __init__(self, game: str, round_: str) -> None:
        super().__init__(f"the player has no round {round_} of this source in game {game or '(none)'}")
        self.game = game
        self.round = round_

    def metadata(self) -> Mapping[str, str]:
        return {"round_id": self.round, "game_id": self.game}


class CurrencyUnknown(FieldInvalid):
    """The currency is not in the registry."""

    def __init__(self, field: str, currency: str) -> None:
        super().__init__(field, "not a currency of the registry; see AdminService.ListCurrencies")
        self.currency = briefly(currency)

    def metadata(self) -> Mapping[str, str]:
        return {"currency_code": self.currency}


class CurrencyImmutable(StakeholdError):
    """What a code means cannot change, be it a currency's or a denomination's: its amounts would."""

    def __init__(self, currency: str) -> None:
        super().__init__(f"what amounts in {currency} mean cannot be changed")
        self.currency = currency

    def metadata(self) -> Mapping[str, str]:
        return {"currency_code": self.currency}


class CurrencyDisabled(StakeholdError):
    """The currency takes no new wallets."""

    def __init__(self, currency: str) -> None:
        super().__init__(f"{currency} is disabled")
        self.currency = currency

    def metadata(self) -> Mapping[str, str]:
        return {"currency_code": self.currency}

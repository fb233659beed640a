"""For commands that need the ledger, and no store."""

from pydantic import SecretStr, ValidationError

from service.commands.starting import read_settings_or_exit
from service.settings import Settings


def read_ledger_url() -> str:
    """Where the ledger is. Ends the program with status 2 where that is not said."""
    return read_ledger_settings().postgres_url.get_secret_value()


def read_ledger_settings() -> Settings:
    """All settings, but for the store's address, which may be missing."""
    try:
        return Settings(valkey_url=SecretStr(""))
    except ValidationError:
        return read_settings_or_exit()

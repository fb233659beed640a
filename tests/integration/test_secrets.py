"""Passwords stay where they belong: whatever breaks, no log, answer or representation has them."""

import asyncio
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.embedded import EmbeddedValkey
from service.embedded.children import spawn
from service.embedded.ports import LOOPBACK, free_port
from service.settings import Settings
from tests.deployment import ROOT, cli, service_environment

PASSWORD = "tr0ub4dor-and-3"
STORE = f"redis://someone:{PASSWORD}@{LOOPBACK}"
LEDGER = f"postgresql://someone:{PASSWORD}@{LOOPBACK}"
LONG_ENOUGH_S = 6.0
COMMANDS = ["serve", "drain", "work", "migrate", "verify", "doctor", "recover", "publish"]


def test_settings_do_not_show_them() -> None:
    settings = Settings(
        valkey_url=SecretStr(f"{STORE}:1/0"),
        postgres_url=SecretStr(f"{LEDGER}:1/ledger"),
        migration_postgres_url=SecretStr(f"{LEDGER}:1/ledger"),
    )

    assert PASSWORD not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


async def said_by(folder: Path, command: str, store: str, ledger: str, log_format: str) -> str:
    """What a command says until it ends, or for a few seconds."""
    settings = {
        "STAKEHOLD_LOG_FORMAT": log_format,
        "STAKEHOLD_LOG_LEVEL": "debug",
        "STAKEHOLD_CALL_TIMEOUT_S": "0.5",
        "STAKEHOLD_PUBLISH_KIND": "nats",
        "STAKEHOLD_PUBLISH_SERVERS": f"nats://someone:{PASSWORD}@{LOOPBACK}:{free_port()}",
    }
    environment = service_environment(store, ledger, settings=settings)
    log = folder / f"{command}-{store.rpartition(':')[2].replace('/', '-')}-{ledger.rpartition('/')[2]}.log"
    child = spawn(command, cli(command), log=log, env=environment, cwd=ROOT)
    with suppress(TimeoutError):
        async with asyncio.timeout(LONG_ENOUGH_S):
            await child.exited()
    await child.stop()
    return log.read_text()


@pytest.mark.parametrize(("command", "log_format"), [*product(COMMANDS, ["json"]), ("serve", "console")])
async def test_servers_that_are_away_or_turn_us_away_are_told_without_them(
    command: str, log_format: str, valkey: EmbeddedValkey, tmp_path: Path, ledger_dsn: str
) -> None:
    """Nobody is there; the store knows no such user; the ledger no such role; an address is none."""
    database = ledger_dsn.rpartition("@")[2]
    pairs = [
        (f"{STORE}:{free_port()}/0", f"{LEDGER}:{free_port()}/away"),
        (f"{STORE}:{valkey.port}/11", ledger_dsn),
        (f"{STORE}:{valkey.port}/12", f"postgresql://someone:{PASSWORD}@{database}"),
        (f"{STORE}:notaport/0", f"postgresql://someone:{PASSWORD}@nowhere.invalid:x/ledger"),
    ]

    told = await asyncio.gather(
        *(said_by(tmp_path, command, store, ledger, log_format) for store, ledger in pairs)
    )

    assert any(told), "it said nothing at all"
    for said in told:
        assert PASSWORD not in said

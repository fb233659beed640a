"""From one release to the next and back, across a change of schema, while players play: no call is refused.

The old release is the one that was published, out of its wheel; the new one is this checkout.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.migrating import all_migrations
from service.embedded import EmbeddedValkey
from service.embedded.children import Child
from service.embedded.ports import LOOPBACK, free_port
from service.servicers.probes import LIVENESS, READINESS
from tests.ledgers import Ledgers
from tests.upgrade.balancing import balanced_channel
from tests.upgrade.play import Play, playing
from tests.upgrade.releases import Release, checkout, last_release, serves, settings_of
from tests.waiting import until

PLAYERS = 6
STEP_CALLS = 150
"""That are answered before the next step of the rollout is made."""
PATIENCE_S = 90.0
PROCESSES = ("drain", "work", "serve")

pytestmark = pytest.mark.timeout(400)


@pytest_asyncio.fixture
async def dsn(ledgers: Ledgers) -> AsyncIterator[str]:
    """An empty database."""
    async with ledgers.fresh(template="template1") as made:
        yield made


@pytest.fixture
def old(tmp_path: Path) -> Release:
    folder = tmp_path / "old"
    folder.mkdir()
    return last_release(folder)


@pytest.fixture
def new() -> Release:
    return checkout()


class Rollout:
    """The processes of two releases on one store and one ledger."""

    def __init__(self, folder: Path, valkey_url: str, dsn: str) -> None:
        self._folder = folder
        self._valkey_url = valkey_url
        self._dsn = dsn
        self._stack = AsyncExitStack()
        self._running: dict[str, list[tuple[str, Child]]] = {}
        self.addresses = [f"{LOOPBACK}:{free_port()}" for _ in range(2)]
        self.probes: dict[str, str] = {}

    async def close(self) -> None:
        await self._stack.aclose()

    async def migrate(self, release: Release) -> None:
        await release.run("migrate", self._folder, self._settings(self.addresses[0]))

    async def start(self, release: Release, *, address: str) -> None:
        """All processes of a release; they need not be ready yet."""
        self._running[release.name] = []
        for command in PROCESSES:
            health = self.probes[command] = f"{LOOPBACK}:{free_port()}"
            settings = self._settings(
                address, STAKEHOLD_HEALTH_LISTEN=health, STAKEHOLD_MIGRATION_WAIT_S=str(PATIENCE_S)
            )
            running = release.running(command, self._folder, settings)
            child = await self._stack.enter_async_context(running)
            self._running[release.name].append((command, child))

    async def stop(self, release: Release) -> None:
        """As Kubernetes does: each is told, and given time."""
        for _, child in self._running.pop(release.name):
            await child.stop(grace_s=30.0)
            assert child.process.returncode == 0, child.log_tail()

    def require_alive(self, release: Release) -> None:
        for command, child in self._running[release.name]:
            assert child.running, f"{command} of {release.name} ended:\n{child.log_tail()}"

    async def all_say(self, service: str) -> bool:
        return all([await serves(address, service) for address in self.probes.values()])

    async def none_is_ready(self) -> bool:
        return not any([await serves(address, READINESS) for address in self.probes.values()])

    async def verify(self, release: Release) -> None:
        await release.run("verify", self._folder, self._settings(self.addresses[0]))

    def _settings(self, address: str, **more: str) -> dict[str, str]:
        return settings_of(self._valkey_url, self._dsn, address, **more)


@asynccontextmanager
async def rolling(folder: Path, valkey_url: str, dsn: str) -> AsyncIterator[Rollout]:
    rollout = Rollout(folder, valkey_url, dsn)
    try:
        yield rollout
    finally:
        await rollout.close()


async def played_on(play: Play) -> None:
    """Until some calls more were answered."""
    wanted = play.answered.total() + STEP_CALLS
    await until(lambda: play.more(wanted), what="players play on", deadline_s=PATIENCE_S)
    assert play.refused == []


async def require_clean_books(play: Play, rollout: Rollout, release: Release) -> None:
    await until(play.agrees, what="all wallets have what their players were told", deadline_s=PATIENCE_S)
    assert play.refused == []
    await rollout.verify(release)


async def test_no_call_is_refused_for_an_upgrade_across_a_change_of_schema(
    old: Release, new: Release, private_valkey: EmbeddedValkey, dsn: str, tmp_path: Path
) -> None:
    async with rolling(tmp_path, private_valkey.url, dsn) as rollout:
        before, after = rollout.addresses
        await rollout.migrate(old)
        await rollout.start(old, address=before)
        await until(lambda: serves(before), what="the old release serves", deadline_s=PATIENCE_S)
        async with balanced_channel(rollout.addresses) as channel:
            async with playing(channel, players=PLAYERS) as play:
                await played_on(play)

                # New code on the old schema: it waits, and is given no work.
                await rollout.start(new, address=after)
                alive = lambda: rollout.all_say(LIVENESS)  # noqa: E731
                await until(alive, what="the new release lives", deadline_s=PATIENCE_S)
                await played_on(play)
                assert await rollout.none_is_ready()
                rollout.require_alive(new)

                # Old code on the new schema.
                assert await applied(dsn) < len(all_migrations())
                await rollout.migrate(new)
                assert await applied(dsn) == len(all_migrations())
                ready = lambda: rollout.all_say(READINESS)  # noqa: E731
                await until(ready, what="the new release is ready", deadline_s=PATIENCE_S)

                # Both at once, each on what the other one writes.
                await played_on(play)
                rollout.require_alive(old)
                await rollout.stop(old)
                await played_on(play)
                rollout.require_alive(new)
            await require_clean_books(play, rollout, new)


async def test_no_call_is_refused_for_going_back_to_the_old_release(
    old: Release, new: Release, private_valkey: EmbeddedValkey, dsn: str, tmp_path: Path
) -> None:
    async with rolling(tmp_path, private_valkey.url, dsn) as rollout:
        after, before = rollout.addresses
        await rollout.migrate(old)
        await rollout.migrate(new)
        await rollout.start(new, address=after)
        await until(lambda: serves(after), what="the new release serves", deadline_s=PATIENCE_S)
        async with balanced_channel(rollout.addresses) as channel:
            async with playing(channel, players=PLAYERS) as play:
                await played_on(play)

                await rollout.start(old, address=before)
                await until(lambda: serves(before), what="the old release serves", deadline_s=PATIENCE_S)
                await played_on(play)
                rollout.require_alive(old)
                await rollout.stop(new)
                await played_on(play)
                rollout.require_alive(old)
            await require_clean_books(play, rollout, old)
            await rollout.verify(new)


async def applied(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM ledger.migrations"))
    finally:
        await connection.close()

"""A store that forgets, breaks off, freezes, goes away or is unsafe: what was sent runs at most once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.errors import OutcomeUnknown, StoreUnavailable, StoreUnsafe
from service.embedded import EmbeddedValkey, embedded_valkey
from service.embedded.ports import LOOPBACK, free_port
from tests.hot_path import Counting, a_few_turns, ask, counting, lossy_line, runs_of, scripts_sent
from tests.waiting import until


@pytest_asyncio.fixture
async def store(private_valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(private_valkey.url) as client:
        yield client


@pytest_asyncio.fixture
async def runner(private_valkey: EmbeddedValkey) -> AsyncIterator[Counting]:
    async with counting(private_valkey.url) as made:
        yield made


async def cut_off_the_batcher(store: Redis) -> None:
    """Closes all connections but the one that asks."""
    await ask(store, "CLIENT KILL TYPE normal SKIPME yes")


async def test_scripts_that_the_store_forgot_are_sent_once_more(runner: Counting, store: Redis) -> None:
    assert await runner.run() == "1"
    await store.script_flush()

    counts = await asyncio.gather(*(runner.run() for _ in range(5)))

    assert sorted(counts) == ["2", "3", "4", "5", "6"]
    assert await runs_of(store) == 6
    assert await scripts_sent(store) == 1 + 5 + 5
    assert runner.batches == [1, 5]


async def test_a_store_that_keeps_no_scripts_is_asked_twice_and_then_given_up(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    async with counting(private_valkey.url, scripts=()) as runner:
        with pytest.raises(StoreUnavailable, match="scripts"):
            await runner.run()

    assert (await runs_of(store), await scripts_sent(store)) == (0, 2)


async def test_a_call_that_is_cut_off_before_it_ran_has_an_unknown_outcome_and_never_runs(
    runner: Counting, store: Redis
) -> None:
    await ask(store, "CLIENT PAUSE 60000 WRITE")
    call = await runner.start_and_send()
    await until(lambda: is_blocked(store), what="the script has reached the store")
    await cut_off_the_batcher(store)

    with pytest.raises(OutcomeUnknown):
        await call

    await ask(store, "CLIENT UNPAUSE")
    assert await runs_of(store) == 0
    assert await runner.run() == "1"


async def is_blocked(store: Redis) -> bool:
    return bool((await store.info("clients"))["blocked_clients"])


async def test_a_call_whose_answer_is_lost_has_an_unknown_outcome_and_ran_once(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    async with lossy_line(private_valkey.port) as line, counting(line.url) as runner:
        assert await runner.run() == "1"
        line.loses_answers = True

        calls = [runner.start() for _ in range(3)]
        for call in calls:
            with pytest.raises(OutcomeUnknown):
                await call

        assert await runs_of(store) == await scripts_sent(store) == 4
        line.loses_answers = False
        assert await runner.run() == "5"


async def test_a_frozen_store_is_waited_for_no_longer_than_the_timeout_and_runs_the_script_once(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    async with counting(private_valkey.url, timeout_s=0.3) as runner:
        assert await runner.run() == "1"
        private_valkey.process.send_signal(signal.SIGSTOP)
        with pytest.raises(OutcomeUnknown):
            await runner.run()
        with pytest.raises(StoreUnavailable):
            await runner.run()
        with pytest.raises(StoreUnavailable, match="the store cannot be reached: Timeout"):
            await runner.batcher.connect()
        private_valkey.process.send_signal(signal.SIGCONT)

        assert await runner.run() == "3"
        assert await runs_of(store) == await scripts_sent(store) == 3


async def test_a_script_that_fails_is_its_callers_affair_alone(runner: Counting, store: Redis) -> None:
    await store.set("word", "not a number")
    failing = asyncio.create_task(runner.run(key="word"))
    others = [runner.start() for _ in range(2)]

    with pytest.raises(OutcomeUnknown, match="not an integer"):
        await failing

    assert await asyncio.gather(*others) == ["1", "2"]
    assert runner.batches == [3]
    assert await store.get("word") == b"not a number"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("CONFIG SET maxmemory 1", "maxmemory"),
        ("CONFIG SET min-replicas-to-write 1", "NOREPLICAS"),
        (f"REPLICAOF {LOOPBACK} 1", "[Rr]ead only replica|READONLY"),
        ("ACL SETUSER default -evalsha", "permissions|NOPERM"),
    ],
)
async def test_a_store_that_takes_no_writes_says_that_nothing_was_done(
    runner: Counting, store: Redis, command: str, says: str
) -> None:
    await ask(store, command)

    with pytest.raises(StoreUnavailable, match=says):
        await runner.run()

    assert await runs_of(store) == 0


async def test_a_store_that_is_away_is_unavailable_and_welcome_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    async with counting(f"redis://{LOOPBACK}:{port}/0", timeout_s=5.0, connected=False) as runner:
        with pytest.raises(StoreUnavailable):
            await runner.batcher.connect()
        with pytest.raises(StoreUnavailable, match="nothing was done"):
            await runner.run()

        async with embedded_valkey(tmp_path, port=port) as valkey:
            assert await runner.run() == "1"
            valkey.process.kill()
            await valkey.child.exited()

        async def back() -> bool:
            try:
                return await runner.run() == "2"
            except (OutcomeUnknown, StoreUnavailable):
                return False

        assert not await back()
        async with embedded_valkey(tmp_path, port=port) as valkey, Redis.from_url(valkey.url) as store:
            await until(back, what="the store is used again")
            assert await runs_of(store) == 2


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("appendonly", "no", "yes"),
        ("appendfsync", "everysec", "always"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
async def test_an_unsafe_store_is_refused_with_what_to_change(
    private_valkey: EmbeddedValkey, store: Redis, name: str, value: str, needed: str
) -> None:
    await store.config_set(name, value)

    async with counting(private_valkey.url, connected=False) as runner:
        with pytest.raises(StoreUnsafe, match=f'set {name} to "{needed}"'):
            await runner.batcher.connect()
        with pytest.raises(StoreUnavailable):
            await runner.run()
        assert await runs_of(store) == 0

        await store.config_set(name, needed)
        assert await runner.run() == "1"
    await until(lambda: has_its_file(store), what="the append-only file is written")


async def has_its_file(store: Redis) -> bool:
    """A store that still writes its first append-only file cannot be stopped."""
    state = await store.info("persistence")
    return not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


async def test_a_store_that_has_become_unsafe_gets_nothing_after_a_reconnect(
    runner: Counting, store: Redis
) -> None:
    assert await runner.run() == "1"
    await store.config_set("appendfsync", "everysec")
    await cut_off_the_batcher(store)

    async def refused() -> bool:
        try:
            await runner.run()
        except OutcomeUnknown:
            return False
        except StoreUnavailable:
            return True
        raise AssertionError("a script ran on an unsafe store")

    await until(refused, what="the store is refused")
    assert await runs_of(store) == 1


async def test_a_store_that_becomes_unsafe_while_it_is_used_gets_nothing_until_it_is_safe_again(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    async with counting(private_valkey.url, check_every_s=0) as runner:
        assert await runner.run() == "1"
        await store.config_set("appendfsync", "everysec")

        with pytest.raises(StoreUnavailable):
            await runner.run()
        assert await runs_of(store) == 1

        await store.config_set("appendfsync", "always")
        assert await runner.run() == "2"


async def test_a_connection_that_was_closed_while_it_was_idle_is_replaced_before_anything_is_sent(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    async with counting(private_valkey.url, check_every_s=0) as runner:
        assert await runner.run() == "1"
        await cut_off_the_batcher(store)

        assert await runner.run() == "2"


async def test_a_store_whose_settings_may_not_be_read_is_not_taken_on_trust(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    await ask(store, "ACL SETUSER wallet on >secret ~* +@all -config")

    async with counting(
        f"redis://wallet:secret@{LOOPBACK}:{private_valkey.port}/0", connected=False
    ) as runner:
        with pytest.raises(StoreUnsafe, match="CONFIG GET appendfsync is not allowed"):
            await runner.batcher.connect()


@pytest.mark.parametrize("url", ["wallet:wrong@", "nobody:x@"])
async def test_a_wrong_password_is_told_plainly(
    private_valkey: EmbeddedValkey, store: Redis, url: str
) -> None:
    await ask(store, "ACL SETUSER wallet on >secret ~* +@all")

    async with counting(f"redis://{url}{LOOPBACK}:{private_valkey.port}/0", connected=False) as runner:
        with pytest.raises(StoreUnavailable, match=r"(?i)password|auth"):
            await runner.batcher.connect()


async def test_an_old_server_is_told_which_is_new_enough() -> None:
    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(1 << 16):
            for command in asked.split(b"*")[1:]:
                if b"INFO" in command:
                    info = b"# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n"
                    writer.write(b"$%d\r\n%s\r\n" % (len(info), info))
                elif b"CONFIG" in command:
                    writer.write(b"-ERR Unknown subcommand or wrong number of arguments for 'GET'.\r\n")
                else:
                    writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(pretend, LOOPBACK, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with counting(f"redis://{LOOPBACK}:{port}/0", connected=False) as runner:
            with pytest.raises(StoreUnsafe, match=r"it is version 6\.2\.14"):
                await runner.batcher.connect()
        await a_few_turns()

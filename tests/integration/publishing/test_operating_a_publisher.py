"""What an operator sees of a publisher: its lag, its readiness, and what is wrong with its settings."""

import asyncio
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from service.embedded.ports import LOOPBACK, free_port
from tests.brokers import Broker
from tests.draining import Draining, some_play
from tests.integration.publishing.publishers import (
    environment,
    more_play,
    publishing,
    spawned,
    until_published,
)
from tests.waiting import until


async def test_lag_and_readiness_are_told(books: Draining, jetstream: Broker, tmp_path: Path) -> None:
    count = await some_play(books.feed)
    await books.drain()
    address = f"{LOOPBACK}:{free_port()}"

    variables = {**environment(books, jetstream), "STAKEHOLD_METRICS_LISTEN": address}

    async with publishing(tmp_path, variables) as child:
        await until_published(books, "nats", child=child)
        await until(partial(_reads, address, lag=0.0, published=count, ready=True), what="it is ready")
        await jetstream.kill()
        await more_play(books, 1)
        await books.drain()
        await until(
            partial(_reads, address, lag=60.0, published=count, ready=False),
            what="it says how far it is",
        )
        assert await _metric(address, "stakehold_publish_lag_seconds") > 0
        assert await _metric(address, "stakehold_publish_failures_total") > 0
        await jetstream.start()
        await until(partial(_reads, address, lag=0.0, published=count + 60, ready=True), what="it is ready")
        assert await _metric(address, "stakehold_publish_lag_seconds") == 0


async def _reads(address: str, *, lag: float, published: float, ready: bool) -> bool:
    return (
        await _metric(address, "stakehold_publish_lag_events") == lag
        and await _metric(address, "stakehold_published_events_total") == published
        and await asyncio.to_thread(_is_ready, address) == ready
    )


async def _metric(address: str, name: str) -> float:
    text = await asyncio.to_thread(_get, f"http://{address}/metrics")
    (value,) = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name}{{")]
    return float(value)


def _is_ready(address: str) -> bool:
    try:
        return _get(f"http://{address}/ready") == "ready\n"
    except urllib.error.HTTPError as error:
        error.close()
        return error.code != 503


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5.0) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KIND": "pigeon"}, "STAKEHOLD_PUBLISH_KIND"),
        ({"SUBJECT": "a.*"}, "STAKEHOLD_PUBLISH_SUBJECT"),
        ({"PASSWORD": "x"}, "STAKEHOLD_PUBLISH_USERNAME"),
        ({"LEASE_S": "1"}, "STAKEHOLD_PUBLISH_LEASE_S"),
    ],
)
async def test_wrong_settings_are_named(
    books: Draining, tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    variables = {
        **environment(books, _Nowhere()),  # type: ignore[arg-type]
        **{f"STAKEHOLD_PUBLISH_{name}": value for name, value in settings.items()},
    }
    child = spawned(tmp_path, variables)

    assert await child.exited() == 2
    assert said in child.log.read_text()


class _Nowhere:
    kind = "nats"
    servers = "nats://127.0.0.1:1"

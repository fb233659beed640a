"""What running processes tell is what the catalogue and the documentation say, and nothing else."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.embedded import EmbeddedValkey
from tests.acceptance.seat import seated
from tests.alerts.processes import NOWHERE, processes
from tests.alerts.test_seen_of_the_door import behind_tls
from tests.alerts.timelines import scraped
from tests.alerts.watching import value_in, watched
from tests.answers import Refused
from tests.deployment import ROOT
from tests.entrance import premises
from tests.metric_catalog import ONLY_SOMETIMES, PREFIX, all_metrics
from tests.serving import Grounds
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import WalletApi

PROCESSES = ("serve", "drain", "work", "publish", "feed", "edge")
OF_ANY_PROCESS = {"process_cpu_seconds", "process_resident_memory_bytes", "python_gc_collections"}
PAGE = ROOT / "docs" / "observability.md"

pytestmark = pytest.mark.timeout(180)


def families_in(text: str) -> dict[str, str]:
    """Names and types."""
    return {family.name: family.type for family in text_string_to_metric_families(text)}


def expected_of(process: str) -> dict[str, str]:
    return {
        metric.name: metric.type
        for metric in all_metrics()
        if process in metric.processes and metric.name not in ONLY_SOMETIMES
    }


async def test_every_process_tells_what_the_catalogue_says(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with processes(tmp_path, private_valkey.url, ledger_dsn, *PROCESSES) as running:
        for process in PROCESSES:
            last = sorted(expected_of(process))

            async def is_up(process: str = process, last: list[str] = last) -> bool:
                told = families_in(await running.text(process) or "")
                return set(last) <= told.keys() or not running.children[process].running

            await until(is_up, what=f"{process} tells everything", deadline_s=60.0)
            told = families_in(await running.text(process) or "")
            ours = {name: type_ for name, type_ in told.items() if name.startswith(PREFIX)}
            assert ours == expected_of(process), process
            assert told.keys() >= OF_ANY_PROCESS
            assert not [name for name in told if name.endswith("_created")]


async def test_a_server_with_tls_and_traces_tells_the_rest(ground: Grounds, tmp_path: Path) -> None:
    files = premises(tmp_path)
    async with behind_tls(ground, files, traces_endpoint=f"http://{NOWHERE}/v1/traces") as (_, listen):
        told = families_in(scraped(listen))

    assert told.keys() >= expected_of("serve").keys() | ONLY_SOMETIMES.keys()


async def test_samples_have_the_labels_that_the_catalogue_says(ground: Grounds, tmp_path: Path) -> None:
    labels = {metric.name: set(metric.labels) for metric in all_metrics()}
    async with watched(ground, tmp_path) as server:
        await (await seated(server.api)).one(bet("b", "1"))
        text = await server.text()

    for family in text_string_to_metric_families(text):
        if family.name.startswith(PREFIX):
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == labels[family.name], sample.name


async def test_callers_cannot_make_labels_grow(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path) as server:
        seat = await seated(server.api)
        for source in (seat.source_id, "unknown-0"):
            await _ask(server.api, source, seat.player_id)
        before = set(_series(await server.text()))

        for number in range(1, 30):
            await _ask(server.api, f"unknown-{number}", seat.player_id)
            with pytest.raises(Exception, match="UNIMPLEMENTED"):
                await _unknown_method(server.address, number)
        after = await server.text()

    assert set(_series(after)) == before
    assert value_in(
        after, "stakehold_transactions_total", kind="bet", source=seat.source_id, outcome="applied"
    )


async def _ask(api: WalletApi, source_id: str, player_id: str) -> None:
    with suppress(Refused):
        await api.transact(source_id, player_id, [bet("b", "1")])


async def _unknown_method(address: str, number: int) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(f"/stakehold.v1.WalletService/Method{number}")
        await call(b"", timeout=5.0)


def _series(text: str) -> list[str]:
    return [line.rpartition(" ")[0] for line in text.splitlines() if line.startswith(PREFIX)]


def test_the_documentation_has_the_table_of_all_metrics() -> None:
    documented = re.findall(rf"^\| `{PREFIX}.*$", PAGE.read_text(), re.MULTILINE)

    assert documented == [metric.line() for metric in all_metrics()], "run python -m tests.metric_catalog"

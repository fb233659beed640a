"""`stakehold up`, as a person sees it: three lines to paste, Ctrl-C, and start again."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from service.embedded.ports import LOOPBACK, free_port
from tests.waiting import until

ROOT = Path(__file__).parents[2]
READY = "Ctrl-C stops everything."
START_DEADLINE_S = 60.0
DEFAULT_PORT = 50051

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True, slots=True)
class Up:
    """A running `stakehold up` and what it has said so far."""

    process: subprocess.Popen[bytes]
    screen: Path

    @property
    def said(self) -> str:
        return self.screen.read_text()

    async def ready(self) -> None:
        async def is_ready() -> bool:
            assert self.process.poll() is None, self.said
            return READY in self.said

        await until(is_ready, what="`stakehold up` is ready", deadline_s=START_DEADLINE_S)

    async def ended(self) -> int:
        async def has_ended() -> bool:
            return self.process.poll() is not None

        await until(has_ended, what="`stakehold up` has ended", deadline_s=START_DEADLINE_S)
        assert self.process.returncode is not None
        return self.process.returncode

    def paste(self) -> list[dict[str, object]]:
        """Runs the three lines that it prints, as a person would; their answers."""
        lines = re.findall(r"^.*grpcurl -plaintext .*$", self.said, re.MULTILINE)
        assert len(lines) == 3
        return [json.loads(subprocess.check_output(line, shell=True, cwd=ROOT, text=True)) for line in lines]

    def family(self) -> dict[str, psutil.Process]:
        """Its children, by what they are called in its own messages."""
        children = psutil.Process(self.process.pid).children()
        return {_name(child.cmdline()): child for child in children}


@asynccontextmanager
async def up(data: Path, screen: Path, *options: str) -> AsyncIterator[Up]:
    command = [sys.executable, "-m", "service.cli", "up", "--data", str(data), *options]
    with screen.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield Up(process, screen)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def free_ports() -> Sequence[str]:
    names = ("--port", "--metrics-port", "--drain-metrics-port", "--work-metrics-port")
    return [word for name in names for word in (name, str(free_port()))]


async def test_three_lines_to_paste_then_ctrl_c_then_the_money_is_still_there(tmp_path: Path) -> None:
    async with up(tmp_path / "data", tmp_path / "first", *free_ports()) as first:
        await first.ready()
        opened, credited, shown = first.paste()
        family = psutil.Process(first.process.pid).children(recursive=True)
        first.process.send_signal(signal.SIGINT)
        status = await first.ended()

    assert opened["created"] is True
    assert credited["result"]["outcome"] == "OUTCOME_APPLIED"  # type: ignore[index]
    assert shown["balances"][0]["cash"] == "100.00"  # type: ignore[index]
    assert status == 0, first.said
    assert not any(_lives(child) for child in family)

    async with up(tmp_path / "data", tmp_path / "second", *free_ports()) as second:
        await second.ready()
        _, credited, shown = second.paste()

    assert credited["result"]["replayed"] is True  # type: ignore[index]
    assert shown["balances"][0]["cash"] == "100.00"  # type: ignore[index]


async def test_a_killed_parent_leaves_no_orphan_and_can_start_again(tmp_path: Path) -> None:
    async with up(tmp_path / "data", tmp_path / "first", *free_ports()) as first:
        await first.ready()
        family = psutil.Process(first.process.pid).children(recursive=True)
        first.process.kill()

    async def all_gone() -> bool:
        return not any(_lives(child) for child in family)

    assert len(family) > 4
    await until(all_gone, what="all descendants have ended", deadline_s=10.0)

    async with up(tmp_path / "data", tmp_path / "second", *free_ports()) as second:
        await second.ready()


@pytest.mark.parametrize("name", ["serve", "drain", "work", "valkey", "postgres"])
async def test_a_child_that_dies_is_named_and_the_rest_is_stopped(tmp_path: Path, name: str) -> None:
    async with up(tmp_path / "data", tmp_path / "screen", *free_ports()) as running:
        await running.ready()
        family = psutil.Process(running.process.pid).children(recursive=True)
        running.family()[name].kill()
        status = await running.ended()

    assert status == 1
    assert f"Error: {name} ended with status -9" in running.said
    assert not any(_lives(child) for child in family)


async def test_a_folder_serves_one_up_only(tmp_path: Path) -> None:
    async with up(tmp_path / "data", tmp_path / "first", *free_ports()) as first:
        await first.ready()
        async with up(tmp_path / "data", tmp_path / "second", *free_ports()) as second:
            status = await second.ended()

    assert status == 1
    assert f"in use by the process with id {first.process.pid}" in second.said


async def test_a_default_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    with _taken(DEFAULT_PORT):
        metrics = free_ports()[2:]
        async with up(tmp_path / "data", tmp_path / "screen", *metrics) as running:
            await running.ready()
            opened, *_ = running.paste()

    assert f"Port {DEFAULT_PORT} is taken" in running.said
    assert opened["created"] is True


async def test_a_port_asked_for_that_is_taken_is_an_error(tmp_path: Path) -> None:
    port = free_port()
    with _taken(port):
        async with up(tmp_path / "data", tmp_path / "screen", "--port", str(port)) as running:
            status = await running.ended()

    assert status == 1
    assert f"Port {port} on {LOOPBACK}, wanted for gRPC, is taken" in running.said


@contextlib.contextmanager
def _taken(port: int) -> Iterator[None]:
    """Listen on the port, or leave that to whoever does already."""
    with socket.socket() as listener:
        with contextlib.suppress(OSError):
            listener.bind((LOOPBACK, port))
            listener.listen()
        yield


def _name(command_line: Sequence[str]) -> str:
    program = Path(command_line[0].split()[0]).name
    return {"valkey-server": "valkey", "postgres": "postgres"}.get(program, command_line[-1])


def _lives(process: psutil.Process) -> bool:
    """A zombie has ended; whoever adopted it may take its time to notice."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""The README's commands, as they are pasted into a shell: calls, callbacks, and the way to mutual TLS."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from tests.deployment import ROOT, service_environment

BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = "50443"
PATIENCE_S = 100.0
ENDING = "trap 'kill $(jobs -p); wait' EXIT\n"


def blocks(title: str) -> list[str]:
    """The commands of a section."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [section] = re.findall(rf"^## {title}$(.*?)^## ", readme, re.MULTILINE | re.DOTALL)
    return BLOCK.findall(section)


def waiting_for(port: int) -> str:
    """Until what was started last listens; a person would look at what it says."""
    return f"until (echo > /dev/tcp/{LOOPBACK}/{port}) 2> /dev/null; do sleep 0.1; kill -0 $!; done\n"


def over_mutual_tls(port: int) -> str:
    """What is pasted, with a word in between where a person would wait or look."""
    certificates, server, calls, denied = (
        block.replace(PORT, str(port)) for block in blocks("Over mutual TLS")
    )
    return (
        f"set -eu\n{certificates}{server}{ENDING}{waiting_for(port)}"
        f"{calls}echo NOW-DENIED\nif {denied.rstrip()}; then exit 7; fi\n"
    )


def calls_and_callbacks(port: int, edge_port: int) -> str:
    """What is pasted with `make run` in another terminal, and the edge in a third one."""
    calls = "".join(blocks("A bet, its retry, its rollback, and the statement"))
    # What a person pastes by then is in the ledger.
    calls = re.sub(r"^(call .*GetStatement)$", r"until \1; do sleep 0.2; done", calls, flags=re.MULTILINE)
    [callbacks] = blocks("Providers that call back over HTTP")
    before, edge, after = re.split(r"^(stakehold edge) .*\n", callbacks, flags=re.MULTILINE)
    rounds = "".join(blocks("Rounds and lost connections"))
    pasted = (
        f"set -eu\nshopt -s expand_aliases\n{before}"
        f"export STAKEHOLD_PROVIDERS_FILE=$PWD/build/house/providers.yaml\n"
        f"stakehold drain &\nstakehold serve &\n{ENDING}{waiting_for(port)}"
        f"{calls}export STAKEHOLD_ADDRESS={LOOPBACK}:{port} STAKEHOLD_EDGE_LISTEN={LOOPBACK}:{edge_port}\n"
        f"{edge} &\n{ENDING}{waiting_for(edge_port)}{after}echo\necho NOW-ROUNDS\n{rounds}"
    )
    return pasted.replace("localhost:50051", f"{LOOPBACK}:{port}").replace("8088", str(edge_port))


async def test_the_readmes_commands_lead_from_nothing_to_a_debit_over_mutual_tls(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    environment = service_environment(private_valkey.url, ledger_dsn)
    (tmp_path / ".stakehold").mkdir()
    (tmp_path / ".stakehold" / "settings.sh").write_text(
        "".join(f"export {name}={shlex.quote(text)}\n" for name, text in environment.items())
    )

    said = await pasted(over_mutual_tls(free_port()), tmp_path, {"PATH": environment["PATH"]})

    allowed, _, denied = said.partition("NOW-DENIED")
    assert '"cash": "90.00"' in allowed, said
    assert "PermissionDenied" in denied, said
    assert "1000" not in denied


async def test_the_readmes_calls_and_callbacks_do_what_it_says(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    port = free_port()
    environment = service_environment(private_valkey.url, ledger_dsn, address=f"{LOOPBACK}:{port}")
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))

    said = await pasted(calls_and_callbacks(port, free_port()), tmp_path, environment)

    assert '"cash": "90.00"' in said, said
    callback, _, rounds = said.partition("NOW-ROUNDS")
    assert callback.rstrip().endswith('{"status":"ok","currency":"EUR","balance":"57.00"}'), said
    assert "fruits" in rounds, said


async def pasted(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Runs it as a person would, and returns what it said; it must end well."""
    (folder / ".venv").symlink_to(ROOT / ".venv")
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(shell.communicate(), PATIENCE_S)
    said = output.decode()
    assert shell.returncode == 0, said
    return said

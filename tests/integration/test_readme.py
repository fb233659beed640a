"""The README's way from nothing to a first debit over mutual TLS, as it is pasted into a shell."""

import asyncio
import re
import shlex
from pathlib import Path

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from tests.deployment import ROOT, service_environment

SECTION = re.compile(r"^## Over mutual TLS$(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = "50443"
PATIENCE_S = 100.0


def blocks() -> list[str]:
    [section] = SECTION.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return BLOCK.findall(section)


def script(port: int) -> str:
    """What is pasted, with a word in between where a person would wait or look."""
    certificates, server, calls, denied = (block.replace(PORT, str(port)) for block in blocks())
    waiting = f"until (echo > /dev/tcp/{LOOPBACK}/{port}) 2> /dev/null; do sleep 0.1; kill -0 $!; done\n"
    return (
        f"set -eu\n{certificates}{server}server=$!\ntrap 'kill $server; wait $server' EXIT\n{waiting}"
        f"{calls}echo NOW-DENIED\nif {denied.rstrip()}; then exit 7; fi\n"
    )


async def test_the_readmes_commands_lead_from_nothing_to_a_debit_over_mutual_tls(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    environment = service_environment(private_valkey.url, ledger_dsn)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / ".stakehold").mkdir()
    (tmp_path / ".stakehold" / "settings.sh").write_text(
        "".join(f"export {name}={shlex.quote(text)}\n" for name, text in environment.items())
    )

    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script(free_port()),
        cwd=tmp_path,
        env={"PATH": environment["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(shell.communicate(), PATIENCE_S)

    said = output.decode()
    assert shell.returncode == 0, said
    allowed, _, denied = said.partition("NOW-DENIED")
    assert '"cash": "90.00"' in allowed, said
    assert "PermissionDenied" in denied, said
    assert "1000" not in denied

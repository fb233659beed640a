"""The operators' commands as people and programs use them, and the API beside them."""

import asyncio
import csv
import io
import json
import sys
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner
from google.protobuf import json_format
from google.protobuf.message import Message

from service.cli import main
from tests.deployment import ROOT

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int
    output: str
    errors: str

    def rows(self) -> list[dict[str, str]]:
        """Of CSV; every line must end as RFC 4180 says."""
        assert (self.status, self.errors) == (0, ""), self
        assert self.output.count("\n") == self.output.count("\r\n") > 0
        return list(csv.DictReader(io.StringIO(self.output, newline="")))

    def document(self) -> Any:
        assert (self.status, self.errors) == (0, ""), self
        return json.loads(self.output)

    def lines(self) -> list[str]:
        assert (self.status, self.errors) == (0, ""), self
        return self.output.splitlines()


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody whose STAKEHOLD_ADDRESS says where the service is."""

    address: str

    async def says(self, *words: str, typed: str = "") -> Ended:
        """Runs a command in this process, beside the event loop."""
        return await asyncio.to_thread(self._run, words, typed)

    def _run(self, words: tuple[str, ...], typed: str) -> Ended:
        runner = CliRunner(env={"STAKEHOLD_ADDRESS": self.address})
        result = runner.invoke(main, words, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ended(result.exit_code, result.stdout_bytes.decode(), result.stderr)

    async def runs(self, *words: str) -> Ended:
        """Runs a command as a process of its own."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.cli",
            *words,
            *("--address", self.address),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode is not None
        return Ended(process.returncode, output.decode(), errors.decode())


def told(message: Message) -> Any:
    """What a message is in JSON."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )

"""`stakehold demo`: an evening in a casino, and every promise checked."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import click

from service.demo.caller import ServiceGone
from service.demo.evening import EveningUnreadable, Line, read_evening
from service.demo.run import Bar, run_evening
from service.embedded.errors import EmbeddedError
from service.embedded.stack import embedded_stack

EVENING = Path(__file__).parents[2] / "examples" / "evening.jsonl"


@click.command()
@click.option(
    "--target",
    metavar="HOST:PORT",
    help="Play against a service that is running already.  [default: a fresh stack of its own]",
)
@click.option(
    "--evening",
    type=click.Path(dir_okay=False, path_type=Path),
    default=EVENING,
    help="The evening to play.  [default: examples/evening.jsonl of the checkout]",
)
@click.option("--concurrency", type=click.IntRange(1, 1000), default=32, show_default=True)
def command(*, target: str | None, evening: Path, concurrency: int) -> None:
    """Play an evening in a casino against a fresh stack and check every promise.

    Exits with 0 only if every answer, every balance, the ledger and its audit are as they must be.
    """
    # On a service that has seen an evening before, its ids would all be replays.
    suffix = f"-{secrets.token_hex(3)}" if target else ""
    try:
        lines = read_evening(evening, player_suffix=suffix)
        kept = asyncio.run(_run(lines, target, concurrency))
    except (EmbeddedError, EveningUnreadable, ServiceGone) as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(0 if kept else 1)


async def _run(lines: Sequence[Line], target: str | None, concurrency: int) -> bool:
    screen = _Terminal()
    if target:
        return await run_evening(lines, target, concurrency=concurrency, screen=screen)
    folder, keep = Path(tempfile.mkdtemp(prefix="stakehold-demo-")), False
    try:
        async with embedded_stack(folder, tell=lambda phrase: click.echo(f"… {phrase}")) as stack:
            kept = await run_evening(lines, stack.address, concurrency=concurrency, screen=screen)
            keep = not kept
            return kept
    finally:
        if keep:
            click.echo(f"Data and logs are kept in {folder}.", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


class _Terminal:
    """Speaks through click; bars are shown on terminals only."""

    def bar(self, label: str, length: int) -> AbstractContextManager[Bar]:
        return click.progressbar(length=length, label=label, width=30, show_pos=True)

    def say(self, line: str) -> None:
        click.echo(line)

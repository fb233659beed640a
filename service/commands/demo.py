"""`stakehold demo`: the examples' plays, and every promise checked."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path

import click

from service.demo.caller import ServiceGone
from service.demo.plays import PLAYS, Play, PlayUnreadable, read_play
from service.demo.run import Bar, Program, run_programs
from service.embedded.errors import EmbeddedError
from service.embedded.stack import EmbeddedStack, embedded_stack

ALL = "all"


@click.command()
@click.option(
    "--target",
    metavar="HOST:PORT",
    help="Play against a service that is running already.  [default: a fresh stack of its own]",
)
@click.option(
    "--play",
    "name",
    type=click.Choice([ALL, *PLAYS]),
    default=ALL,
    show_default=True,
    help="Which of the examples to play; all are played one after the other.",
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Play this file instead.  [default: those of the checkout's examples]",
)
@click.option("--concurrency", type=click.IntRange(1, 1000), default=32, show_default=True)
def command(*, target: str | None, name: str, file: Path | None, concurrency: int) -> None:
    """Play the examples against a fresh stack and check every promise.

    Exits with 0 only if every answer, every balance, the ledger and its audit are as they must be.
    """
    # On a service that has seen a play before, its ids would all be replays.
    suffix = f"-{secrets.token_hex(3)}" if target else ""
    try:
        programs = [
            Program(play.title, read_play(play.file, player_suffix=suffix)) for play in _chosen(name, file)
        ]
        kept = asyncio.run(_run(programs, target, concurrency))
    except (EmbeddedError, PlayUnreadable, ServiceGone) as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(0 if kept else 1)


def _chosen(name: str, file: Path | None) -> Sequence[Play]:
    if file is not None:
        return [Play(file.name, file)]
    return list(PLAYS.values()) if name == ALL else [PLAYS[name]]


async def _run(programs: Sequence[Program], target: str | None, concurrency: int) -> bool:
    screen = _Terminal()
    if target:
        return await run_programs(programs, target, concurrency=concurrency, screen=screen)
    folder, keep = Path(tempfile.mkdtemp(prefix="stakehold-demo-")), False
    try:
        async with _stack(folder) as stack:
            kept = await run_programs(programs, stack.address, concurrency=concurrency, screen=screen)
            keep = not kept
            return kept
    finally:
        if keep:
            click.echo(f"Data and logs are kept in {folder}.", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _stack(folder: Path) -> AbstractAsyncContextManager[EmbeddedStack]:
    # Nobody else plays: there is nobody for the worker to stand back for.
    alone = {"STAKEHOLD_WORK_NICE": "0"}
    return embedded_stack(folder, settings=alone, tell=lambda phrase: click.echo(f"… {phrase}"))


class _Terminal:
    """Speaks through click; bars are shown on terminals only."""

    def bar(self, label: str, length: int) -> AbstractContextManager[Bar]:
        return click.progressbar(length=length, label=label, width=30, show_pos=True)

    def say(self, line: str) -> None:
        click.echo(line)

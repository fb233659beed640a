"""``stakehold serve``: the gRPC API."""

import asyncio
import signal

import click
import uvloop

from service.commands.starting import read_settings_or_exit, refuse_plainly
from service.health_listener import served_health
from service.logs import configure_logs
from service.readiness import Readiness
from service.server import running_server
from service.settings import Settings
from service.turns import await_turn


@click.command()
def command() -> None:
    """Serve the gRPC API until interrupted. Settings come from the environment: see `stakehold settings`."""
    settings = read_settings_or_exit()
    configure_logs(settings.log_level, settings.log_format)
    with refuse_plainly():
        uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    readiness = Readiness()
    async with served_health(settings.health_listen, readiness):
        await await_turn(settings, stopped)
        if stopped.is_set():
            return
        async with running_server(settings, readiness=readiness):
            await stopped.wait()

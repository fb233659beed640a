"""`stakehold up`: the whole service on this machine, with nothing installed but this package."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import grpc

from service.embedded.binaries import postgres_server, valkey_server
from service.embedded.errors import EmbeddedError
from service.embedded.ports import is_free
from service.embedded.stack import SETTINGS_NAME, EmbeddedStack, embedded_stack
from stakehold.v1 import admin_service_pb2, admin_service_pb2_grpc

GRPC_PORT = 50051
SERVE_METRICS_PORT = 9464
DRAIN_METRICS_PORT = 9465
WORK_METRICS_PORT = 9466
CALL_TIMEOUT_S = 10.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option(
    "--data",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".stakehold"),
    envvar="STAKEHOLD_DATA",
    show_default=True,
    show_envvar=True,
    help="Folder of all data and logs; it survives a restart. Delete it to begin anew.",
)
@click.option("--port", type=click.IntRange(1, 65535), help=f"gRPC port.  [default: {GRPC_PORT}, or any]")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    help=f"Port of the service's metrics.  [default: {SERVE_METRICS_PORT}, or any]",
)
@click.option(
    "--drain-metrics-port",
    type=click.IntRange(1, 65535),
    help=f"Port of the drainer's metrics.  [default: {DRAIN_METRICS_PORT}, or any]",
)
@click.option(
    "--work-metrics-port",
    type=click.IntRange(1, 65535),
    help=f"Port of the worker's metrics.  [default: {WORK_METRICS_PORT}, or any]",
)
def command(
    folder: Path,
    *,
    port: int | None,
    metrics_port: int | None,
    drain_metrics_port: int | None,
    work_metrics_port: int | None,
) -> None:
    """Run everything here: embedded Valkey and Postgres, the service, the drainer and the worker.

    Ctrl-C stops it all. A default port that is taken is replaced by a free one; a port asked for is not.
    """
    try:
        grpc_port = _port(port, GRPC_PORT, purpose="gRPC")
        serve_metrics = _port(metrics_port, SERVE_METRICS_PORT, purpose="the service's metrics")
        drain_metrics = _port(drain_metrics_port, DRAIN_METRICS_PORT, purpose="the drainer's metrics")
        work_metrics = _port(work_metrics_port, WORK_METRICS_PORT, purpose="the worker's metrics")
        asyncio.run(_run(folder, grpc_port, (serve_metrics, drain_metrics, work_metrics)))
    except asyncio.CancelledError:
        click.echo("Stopped. Start again and the data are still there.")
    except EmbeddedError as error:
        raise click.ClickException(str(error)) from error


def _port(asked: int | None, default: int, *, purpose: str) -> int:
    """The port to insist on, or 0 for any free one."""
    if asked is not None:
        return asked
    if is_free(default):
        return default
    click.echo(f"Port {default} is taken; another one will do for {purpose}.")
    return 0


async def _run(folder: Path, grpc_port: int, metrics_ports: tuple[int, int, int]) -> None:
    _cancel_on_signals()
    click.echo(f"{valkey_server()}\n{postgres_server()}")
    async with embedded_stack(folder, grpc_port=grpc_port, metrics_ports=metrics_ports, tell=_tell) as stack:
        await _put_demo_source(stack.address)
        click.echo("\n".join(_greeting(stack, folder)))
        try:
            await stack.until_one_dies()
        finally:
            click.echo("\nStopping the service, the drainer, the worker, Valkey and Postgres.")


def _tell(phrase: str) -> None:
    click.echo(f"… {phrase}")


def _cancel_on_signals() -> None:
    """The first signal stops everything in order; a second one, meanwhile, kills what is still there."""
    task = asyncio.current_task()
    assert task is not None
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _put_demo_source(address: str) -> None:
    source = admin_service_pb2.Source(source_id="demo", display_name="The source to try things out with")
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        await stub.PutSource(admin_service_pb2.PutSourceRequest(source=source), timeout=CALL_TIMEOUT_S)


def _greeting(stack: EmbeddedStack, folder: Path) -> Iterator[str]:
    yield f"\nStakehold serves gRPC on {stack.address}; data and logs are in {folder}."
    addresses = (stack.serve_metrics_address, stack.drain_metrics_address, stack.work_metrics_address)
    yield f"Metrics: {', '.join(f'http://{address}/metrics' for address in addresses)}"
    yield f"Other commands find it after this: . {shlex.quote(os.fspath(folder / SETTINGS_NAME))}"
    yield "\nOpen a wallet, deposit 100 euros, look at the wallet:\n"
    yield from _grpcurl_lines(stack.address)
    yield "\nCtrl-C stops everything."


def _grpcurl_lines(address: str) -> Iterator[str]:
    deposit = (
        '{"source_id": "demo", "player_id": "alice", "transaction_id": "deposit-1", '
        '"kind": "TRANSACTION_KIND_DEPOSIT", "amount": {"currency_code": "EUR", "amount": "100.00"}}'
    )
    for method, request in (
        ("AdminService/OpenWallet", '{"player_id": "alice", "currency_code": "EUR"}'),
        ("WalletService/Credit", deposit),
        ("WalletService/GetWallet", '{"player_id": "alice"}'),
    ):
        yield f"{_grpcurl()} -plaintext -d '{request}' {address} stakehold.v1.{method}"


def _grpcurl() -> str:
    """The one beside this Python, as short as it can be said from here; else the machine's."""
    installed = Path(sys.executable).with_name("grpcurl")
    if not installed.exists():
        return "grpcurl"
    here = Path.cwd()
    return shlex.quote(
        os.fspath(installed.relative_to(here) if installed.is_relative_to(here) else installed)
    )

"""The command line of the benchmark of long memory."""

import asyncio
import json
import tempfile
from pathlib import Path

import click

from tests.bench.long_memory.report import document, table, warnings
from tests.bench.long_memory.running import measure
from tests.bench.long_memory.sizes import FULL, QUICK

OUTPUT = Path("build") / "bench-long-memory.json"


@click.command()
@click.option("--full", is_flag=True, help="A ledger of a million wallets: some minutes instead of one.")
@click.option("--json", "as_json", is_flag=True, help=f"Print what is written to {OUTPUT}, no table.")
def main(*, full: bool, as_json: bool) -> None:
    """Measure what it costs that nothing is ever forgotten, and how play comes back from a loss."""
    with tempfile.TemporaryDirectory(prefix="stakehold-bench-") as name:
        size = FULL if full else QUICK
        results = asyncio.run(measure(size, Path(name), lambda what: click.echo(f"… {what}", err=True)))
    written = json.dumps(document(results), indent=2)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(written + "\n", encoding="utf-8")
    for warning in warnings(results):
        click.secho(warning, fg="yellow", err=True)
    if as_json:
        click.echo(written)
        return
    click.echo("\n".join(table(results)))
    click.echo(f"\nWritten to {OUTPUT}.")


if __name__ == "__main__":
    main()

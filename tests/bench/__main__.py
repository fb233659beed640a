"""The command line of the benchmark."""

import asyncio
import json
import tempfile
from pathlib import Path

import click

from tests.bench.measuring import measure
from tests.bench.plan import FULL, QUICK
from tests.bench.profiling import profile_debits
from tests.bench.report import document, table, warnings

OUTPUT = Path("build") / "bench.json"


@click.command()
@click.option("--quick", is_flag=True, help="About half a minute instead of some; good for trends only.")
@click.option("--json", "as_json", is_flag=True, help="Print what is written to build/bench.json, no table.")
@click.option("--profile", is_flag=True, help="Show where the server's time goes under debits, and stop.")
def main(*, quick: bool, as_json: bool, profile: bool) -> None:
    """Measure the product and this machine's ceilings, with real fsync, in one run."""
    plan = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="stakehold-bench-") as name:
        if profile:
            click.echo(asyncio.run(profile_debits(plan, Path(name))))
            return
        results = asyncio.run(measure(plan, Path(name), lambda what: click.echo(f"… {what}", err=True)))
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

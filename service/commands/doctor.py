"""``stakehold doctor``: what is wrong, and which copy is right."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import click

from persistence.diagnosis import Diagnosis, Doctor, OpenIncident, PartitionDiagnosis
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.migrating import require_migrated
from persistence.valkey.outbox_reader import outbox_reader
from service.commands.starting import read_settings_or_exit, refuse_plainly
from service.settings import Settings

UNWELL = 1
_TIMEOUT_S = 10.0
_STATUSES = """\b
Exit status:
  0  all is well
  1  something is wrong
  2  it could not be looked at
"""
_COLUMNS = (
    "partition",
    "epoch",
    "generation",
    "cursor",
    "newest",
    "waiting",
    "drainer",
    "state",
    "right copy",
)


@click.command(epilog=_STATUSES)
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table and sentences, or one JSON object.",
)
def command(*, output: str) -> None:
    """Say what is wrong, partition by partition, and which copy is right.

    For each partition its epoch, how far it is drained and what waits, who drains it, whether it is fenced,
    what lies in quarantine; then the incidents that nobody has resolved. Changes nothing.
    """
    settings = read_settings_or_exit()
    with refuse_plainly():
        diagnosis, incidents = asyncio.run(_look(settings))
    click.echo(_as_json(diagnosis, incidents) if output == "json" else _as_text(diagnosis, incidents))
    sys.exit(0 if diagnosis.is_well else UNWELL)


@asynccontextmanager
async def opened_doctor(settings: Settings) -> AsyncIterator[Doctor]:
    """A doctor with a connection of its own to each side."""
    async with (
        ledger_connection(
            settings.postgres_url.get_secret_value(),
            role=LedgerRole.READER,
            statement_timeout_s=_TIMEOUT_S,
            application="stakehold doctor",
        ) as connection,
        outbox_reader(settings.valkey_url.get_secret_value(), timeout_s=_TIMEOUT_S) as store,
    ):
        await require_migrated(connection)
        ledger_id = (await read_settings(connection)).ledger_id
        yield Doctor(connection, store, ledger_id=ledger_id)


async def _look(settings: Settings) -> tuple[Diagnosis, list[OpenIncident]]:
    async with opened_doctor(settings) as doctor:
        return await doctor.diagnose(), await doctor.open_incidents()


def _as_json(diagnosis: Diagnosis, incidents: list[OpenIncident]) -> str:
    found = {
        "is_well": diagnosis.is_well,
        **asdict(diagnosis),
        "open_incidents": [asdict(incident) for incident in incidents],
    }
    return json.dumps(found, default=str, indent=2)


def _as_text(diagnosis: Diagnosis, incidents: list[OpenIncident]) -> str:
    rows = [_COLUMNS, *map(_row, diagnosis.partitions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    lines += [
        f"partition {partition.partition}: {problem}."
        for partition in diagnosis.partitions
        for problem in partition.problems
    ]
    lines += [
        f"incident {i.incident_id} ({i.kind}), partition {i.partition}: {i.description}" for i in incidents
    ]
    unnamed = sum(diagnosis.incidents.values()) - len(incidents)
    if unnamed > 0:
        lines.append(f"… and {unnamed} more incidents")
    if diagnosis.pending_repairs:
        lines.append(f"{diagnosis.pending_repairs} repairs are under way.")
    lines.append("All is well." if diagnosis.is_well else "Something is wrong: see docs/runbook.md.")
    return "\n".join(line.rstrip() for line in lines)


def _row(partition: PartitionDiagnosis) -> tuple[str, ...]:
    state = "fenced" if partition.fenced else "stopped" if partition.quarantined else "open"
    return (
        str(partition.partition),
        str(partition.epoch),
        str(partition.generation or "-"),
        str(partition.cursor),
        str(partition.last or "-"),
        str(partition.waiting),
        partition.drainer or "-",
        state,
        partition.right_copy,
    )

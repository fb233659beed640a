"""``stakehold verify``: the audit, offline."""

import asyncio
import json
import sys
import traceback
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import SecretStr, ValidationError

from persistence.audit.audit import Audit
from persistence.audit.counts import AuditCounts
from persistence.audit.findings import AuditSummary, Finding
from persistence.errors import StakeholdError
from persistence.export.comparing import compare_with_ledger
from persistence.export.manifest import read_public_key
from persistence.export.verifying import ExportFinding
from persistence.transactions import PlayerId
from service.commands.starting import CANNOT_START, read_settings_or_exit
from service.conversions.fields import read_player_id
from service.settings import Settings

FOUND = 1
INTERRUPTED = 130
_STATUSES = """\b
Exit status:
  0  nothing is wrong
  1  there are findings
  2  it could not be checked
"""
_BATCH_SIZE = 1000
_REDRAW_S = 0.2
_CLEAR_LINE = "\r\x1b[K"


@click.command(epilog=_STATUSES)
@click.option(
    "--ledger-only", is_flag=True, help="Leave the hot wallets out; STAKEHOLD_VALKEY_URL is not needed."
)
@click.option("--player", metavar="ID", help="Audit only this player's wallets, and no chains or cursors.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How findings and the summary are written: a sentence, or a JSON object, a line.",
)
@click.option(
    "--against-export",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Compare the ledger with a folder of exported files, too.",
)
@click.option(
    "--public-key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The public key of whoever signed these files, PEM.",
)
def command(
    *, ledger_only: bool, player: str | None, output: str, folder: Path | None, key_file: Path | None
) -> None:
    """Audit the ledger against itself and against the hot wallets, and name everything that is wrong.

    Recomputes each partition's hash chain, each entry's postings and each balance; looks for gaps in wallets'
    versions, missing rows and records in quarantine; and compares hot wallets with the ledger at the same
    version. Changes nothing but a line in the ledger that says that everything was audited, for the alerts,
    and may run beside the service or without it. Wallets that are ahead of the ledger are counted and not
    compared: drain first to have all of them compared.

    Findings go to standard output, one a line, as soon as they are found; amounts in them are in minor units,
    as they stand in the database. Entries whose hash covers a text that was erased are counted for each
    erasure: only files that were exported before can prove what else they said.
    """
    if (folder is None) != (key_file is None):
        raise click.UsageError("say --against-export and --public-key together")
    settings = _read_settings(ledger_only=ledger_only)
    report = _Report(output)
    try:
        player_id = None if player is None else read_player_id(player, "--player")
        public = None if key_file is None else read_public_key(key_file)
        summary = asyncio.run(_verify(settings, player_id, report, ledger_only))
        found = summary.finding_count
        if folder is not None and public is not None:
            found += asyncio.run(_compare(settings, folder, public, report))
    except KeyboardInterrupt:
        report.clear()
        click.echo("stakehold: interrupted, so this verdict is of no use", err=True)
        sys.exit(INTERRUPTED)
    except StakeholdError as error:
        report.clear()
        click.echo(f"stakehold: could not verify: {error}", err=True)
        sys.exit(CANNOT_START)
    except Exception:
        report.clear()
        traceback.print_exc()  # its usual status, 1, would say that something was found
        sys.exit(CANNOT_START)
    sys.exit(FOUND if found else 0)


async def _verify(
    settings: Settings, player_id: PlayerId | None, report: "_Report", ledger_only: bool
) -> AuditSummary:
    audit = Audit(
        settings.postgres_url.get_secret_value(),
        valkey_url=None if ledger_only else settings.valkey_url.get_secret_value(),
        store_timeout_s=settings.store_timeout_s,
        batch_size=_BATCH_SIZE,
        on_unrecorded=lambda error: click.echo(
            f"stakehold: that this audit was made could not be noted in the ledger: {error}", err=True
        ),
    )
    counts = AuditCounts()
    progress = asyncio.create_task(report.show_progress(counts))
    try:
        async with aclosing(audit.run(player_id, counts=counts)) as events:
            async for event in events:
                if isinstance(event, AuditSummary):
                    report.tell_unprovable(counts)
                report.tell(event, ledger_only=ledger_only)
    finally:
        progress.cancel()
        await asyncio.gather(progress, return_exceptions=True)
    return counts.summary()


async def _compare(settings: Settings, folder: Path, public: Ed25519PublicKey, report: "_Report") -> int:
    count = 0
    postgres_url = settings.postgres_url.get_secret_value()
    async with aclosing(compare_with_ledger(postgres_url, folder, public)) as findings:
        async for finding in findings:
            count += 1
            report.tell_of_export(finding)
    report.tell_compared(count)
    return count


def _read_settings(*, ledger_only: bool) -> Settings:
    if not ledger_only:
        return read_settings_or_exit()
    try:
        return Settings(valkey_url=SecretStr(""))
    except ValidationError:
        return read_settings_or_exit()


class _Report:
    """Findings and the summary on standard output, progress on standard error where that is a terminal."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._is_watched = sys.stderr.isatty()

    def tell(self, event: Finding | AuditSummary, *, ledger_only: bool) -> None:
        self.clear()
        match event:
            case Finding() if self._output == "json":
                click.echo(json.dumps({"finding": asdict(event)}))
            case AuditSummary() if self._output == "json":
                click.echo(json.dumps({"summary": asdict(event)}))
            case Finding():
                click.echo(f"{event.kind.upper()} in partition {event.partition}: {event.description}")
            case AuditSummary():
                click.echo(_summary_text(event, ledger_only=ledger_only))

    def tell_unprovable(self, counts: AuditCounts) -> None:
        """What no finding can be made of, and somebody should know."""
        for erasure_id, count in sorted(counts.unprovable.items()):
            self.clear()
            if self._output == "json":
                click.echo(json.dumps({"unprovable": {"erasure_id": erasure_id, "entry_count": count}}))
                continue
            click.echo(
                f"Erasure {erasure_id}: the hashes of {_counted(count, 'entry', 'entries')} cover what was "
                "erased. That the rest of them is unchanged, only an export from before it proves "
                "(--against-export)."
            )

    def tell_of_export(self, finding: ExportFinding) -> None:
        self.clear()
        is_json = self._output == "json"
        click.echo(json.dumps({"export_finding": asdict(finding)}) if is_json else str(finding))

    def tell_compared(self, count: int) -> None:
        if self._output == "json":
            click.echo(json.dumps({"export_summary": {"finding_count": count}}))
        else:
            click.echo(
                f"Compared with the exported files: {_counted(count, 'finding') if count else 'the same'}."
            )

    async def show_progress(self, counts: AuditCounts) -> None:
        while self._is_watched:
            click.echo(f"{_CLEAR_LINE}{_progress_text(counts)}", err=True, nl=False)
            await asyncio.sleep(_REDRAW_S)

    def clear(self) -> None:
        """Makes room for a line where the progress stands."""
        if self._is_watched:
            click.echo(_CLEAR_LINE, err=True, nl=False)


def _progress_text(counts: AuditCounts) -> str:
    entries = f"{counts.entry_count:,}"
    if counts.expected_entry_count:
        entries += f" of {counts.expected_entry_count:,}"
    return (
        f"checking {counts.stage or 'nothing yet'}: {entries} entries, "
        f"{_counted(counts.wallet_count, 'hot wallet')}, {_counted(counts.finding_count, 'finding')}"
    )


def _summary_text(summary: AuditSummary, *, ledger_only: bool) -> str:
    verdict = _counted(summary.finding_count, "finding") if summary.finding_count else "nothing is wrong"
    wallets = "no hot wallets" if ledger_only else _counted(summary.wallet_count, "hot wallet")
    text = (
        f"Checked {_counted(summary.entry_count, 'entry', 'entries')} with "
        f"{_counted(summary.posting_count, 'posting')}, and {wallets}: {verdict}."
    )
    if summary.undrained_wallet_count:
        ahead = _counted(summary.undrained_wallet_count, "wallet")
        text += (
            f" Not compared, because ahead of the ledger: {ahead}. "
            "To compare all, run `stakehold drain --until-empty` first."
        )
    return text


def _counted(count: int, one: str, many: str = "") -> str:
    """A number and its noun: 2,000 findings."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"

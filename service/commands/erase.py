"""``stakehold erase``: a player's personal data go, the money stays."""

import asyncio
from dataclasses import asdict

import click

from persistence.erasing import Erased, Eraser
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_settings import read_settings
from persistence.transactions import PlayerId
from persistence.valkey.hot_wallets import hot_wallets
from service.commands.starting import read_settings_or_exit, refuse_plainly
from service.conversions.commands import without_metadata
from service.conversions.fields import read_player_id
from service.settings import Settings

_TIMEOUT_S = 3600.0


@click.command()
@click.argument("player")
@click.option("--reason", required=True, help="Why, for the record: no personal data of the player.")
@click.option("--by", required=True, help="Who wants it.")
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and change nothing.")
def command(*, player: str, reason: str, by: str, dry_run: bool) -> None:
    """Erase what is kept of a player beside the money: metadata, what was submitted, what cases, messages,
    notes and callbacks say.

    Amounts, ids and the chain of hashes stay, and go on to verify; so does the player's id, which must be a
    pseudonym. Nothing is erased while something is open: entries that are not drained, submitted commands
    that wait, cases that have not ended. May be said again. docs/privacy.md says what is not reached.

    The role in STAKEHOLD_ERASE_POSTGRES_URL (default: STAKEHOLD_POSTGRES_URL) must be a member of
    stakehold_eraser; the service's own is not.
    """
    settings = read_settings_or_exit()
    with refuse_plainly():
        erased = asyncio.run(_erase(settings, read_player_id(player, "PLAYER"), by, reason, dry_run=dry_run))
    word = "would be" if dry_run else "were"
    told = [
        f"{count} {what.replace('_', ' ')}"
        for what, count in asdict(erased).items()
        if count and what != "sealed_before"
    ]
    click.echo(f"Player {player}: {', '.join(told) or 'nothing'} {word} erased.")
    if erased.sealed_before:
        click.echo(
            f"The hashes of {erased.sealed_before} entries cover what {word} erased: of these, audits check "
            "links and everything else from now on."
        )


async def _erase(settings: Settings, player: PlayerId, by: str, reason: str, *, dry_run: bool) -> Erased:
    async with ledger_connection(
        settings.eraser_postgres_url(),
        role=LedgerRole.ERASER,
        statement_timeout_s=_TIMEOUT_S,
        application="stakehold erase",
    ) as connection:
        count = (await read_settings(connection)).partition_count
        async with hot_wallets(
            settings.valkey_url.get_secret_value(),
            partition_count=count,
            timeout_s=settings.store_timeout_s,
        ) as players:
            eraser = Eraser(connection, players, without_metadata)
            return await eraser.erase(player, by=by, reason=reason, dry_run=dry_run)

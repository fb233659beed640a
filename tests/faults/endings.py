"""How a run ends: everything is drained, read, and audited."""

from collections.abc import Sequence

import asyncpg

from persistence.transactions import OutboxPosition
from tests.answers import Refused
from tests.faults.books import (
    Amounts,
    Books,
    SlipName,
    Wallet,
    amounts_of,
    due_count,
    read_books,
    slip_names,
)
from tests.faults.cast import Cast
from tests.faults.checks.case import Breach, Violation
from tests.waiting import until
from tests.wallet_api import wallet_api

_DRAIN_PATIENCE_S = 60.0
_READ_PATIENCE_S = 30.0
_EXPIRY_PATIENCE_S = 30.0
_SLIPS_READ = 200


async def until_drained(cast: Cast) -> None:
    """Waits until the ledger's cursors stand where the outboxes end."""
    connection = await asyncpg.connect(cast.ledger.dsn)
    try:

        async def drained() -> bool:
            cursors = {
                row["partition"]: OutboxPosition(row["cursor_epoch"], row["cursor_sequence"])
                for row in await connection.fetch("SELECT * FROM ledger.partitions")
            }
            last = await cast.store.last_positions(len(cursors))
            return all(cursors[partition] >= position for partition, position in last.items())

        await until(drained, what="everything is in the ledger", deadline_s=_DRAIN_PATIENCE_S, poll_s=0.05)
    finally:
        await connection.close()


async def until_expired(cast: Cast) -> None:
    """Waits until nothing is held any more whose time is over."""

    async def all_given_back() -> bool:
        return await due_count(cast.ledger.dsn) == 0

    await until(all_given_back, what="what is due is given back", deadline_s=_EXPIRY_PATIENCE_S, poll_s=0.1)


async def final_books(cast: Cast, players: Sequence[str]) -> Books:
    hot_slips = await _hot_slips(cast, await slip_names(cast.ledger.dsn, most=_SLIPS_READ))
    return await read_books(cast.ledger.dsn, await _hot_wallets(cast, players), hot_slips)


async def _hot_slips(cast: Cast, names: Sequence[SlipName]) -> dict[SlipName, tuple[int, str]]:
    """As the service shows them. Whose opening was lost has none."""
    found: dict[SlipName, tuple[int, str]] = {}

    async def all_read() -> bool:
        async with wallet_api(cast.addresses()[0]) as api:
            for name in names:
                try:
                    slip = await api.slip(name.source, name.player, name.slip_id)
                except Refused as refused:
                    if refused.reason != "SLIP_NOT_FOUND":
                        return False
                    found[name] = 0, ""
                else:
                    found[name] = slip.version, slip.state
        return True

    await until(all_read, what="all slips can be read", deadline_s=_READ_PATIENCE_S, poll_s=0.1)
    return found


async def _hot_wallets(cast: Cast, players: Sequence[str]) -> dict[Wallet, tuple[int, Amounts]]:
    """As the service shows them, once it shows them all. Whose opening was lost has none."""
    found: dict[Wallet, tuple[int, Amounts]] = {}

    async def all_read() -> bool:
        async with wallet_api(cast.addresses()[0]) as api:
            for player in players:
                try:
                    balances = await api.balances(player)
                except Refused as refused:
                    if refused.reason != "WALLET_NOT_FOUND":
                        return False
                    balances = []
                for balance in balances:
                    found[Wallet(player, balance.currency)] = balance.version, amounts_of(balance)
        return True

    await until(all_read, what="all wallets can be read", deadline_s=_READ_PATIENCE_S, poll_s=0.1)
    return found


async def audit(cast: Cast) -> list[Violation]:
    """What `stakehold verify` says that is wrong."""
    status, said = await cast.command("verify")
    return [] if status == 0 else [Violation(Breach.AUDIT, f"verify exits {status}:\n{said}")]

"""Commands to submit in number, and what the ledger must have of them."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

import asyncpg

from stakehold.v1 import command_pb2
from tests.steps import deposit
from tests.submissions import command
from tests.wallet_api import WalletApi, new_name


async def players_of(api: WalletApi, count: int) -> list[str]:
    """New players, with empty wallets."""
    players = [new_name("player") for _ in range(count)]
    await asyncio.gather(*(api.open_wallet(player, "EUR") for player in players))
    return players


def spread(
    source_id: str, players: Sequence[str], count: int, *, prefix: str = "d"
) -> list[command_pb2.Command]:
    """Deposits, for one player after the other, and again."""
    return [
        command(source_id, players[number % len(players)], deposit(f"{prefix}{number}", "0.01"))
        for number in range(count)
    ]


def wanted_orders(players: Sequence[str], count: int, *, prefix: str = "d") -> Mapping[str, Sequence[str]]:
    """What the ledger has once they are applied."""
    return {
        player: [f"{prefix}{number}" for number in range(start, count, len(players))]
        for start, player in enumerate(players)
    }


async def booked_orders(
    ledger_dsn: str, source_id: str, *, entry_type: str = "applied"
) -> Mapping[str, Sequence[str]]:
    """A source's transaction ids in the ledger, by player, in the order of the wallet's versions."""
    connection = await asyncpg.connect(ledger_dsn)
    try:
        rows = await connection.fetch(
            "SELECT player_id, transaction_id FROM ledger.entries"
            " WHERE source_id = $1 AND entry_type = $2 ORDER BY player_id, version",
            source_id,
            entry_type,
        )
    finally:
        await connection.close()
    orders: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        orders[row["player_id"]].append(row["transaction_id"])
    return orders

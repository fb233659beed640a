"""A primary takes another replication id when its first replica comes, with all its callers connected."""

import asyncio
from itertools import count
from pathlib import Path

import asyncpg

from persistence.adoption import adopt_partitions
from persistence.errors import NotDone, OutcomeUnknown
from persistence.transactions import TransactionKind
from service.embedded import EmbeddedValkey
from service.embedded.valkey import embedded_replica
from tests.drained_ledger import Wallets, movement, wallets
from tests.wallet_api import new_name

PLAYERS = 8


async def play(house: Wallets, player: str, told: dict[str, str], stopped: asyncio.Event) -> None:
    """Bets until told to stop, each until its outcome is certain."""
    for number in count():
        name = f"b{number}"
        while name not in told:
            try:
                [result] = await house.move(player, movement(TransactionKind.BET, name, 1))
            except (NotDone, OutcomeUnknown):
                await asyncio.sleep(0.005)
            else:
                told[name] = result.entry_id
        if stopped.is_set():
            return


async def test_nothing_that_was_answered_is_cut_off(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with wallets(private_valkey.url, ledger_dsn) as house:
        players = [new_name("player") for _ in range(PLAYERS)]
        answers: dict[str, dict[str, str]] = {player: {} for player in players}
        stopped = asyncio.Event()
        for player in players:
            await house.open(player)
            await house.move(player, movement(TransactionKind.DEPOSIT, "d", 1_000_000))
        playing = [asyncio.create_task(play(house, player, answers[player], stopped)) for player in players]
        try:
            async with embedded_replica(tmp_path / "replica", private_valkey):
                adopted = await adopt_partitions(postgres_url=ledger_dsn, valkey_url=private_valkey.url)
        finally:
            stopped.set()
            await asyncio.gather(*playing)
        await house.drain()

    connection = await asyncpg.connect(ledger_dsn)
    try:
        incidents = await connection.fetch("SELECT * FROM ledger.incidents")
        rows = await connection.fetch(
            "SELECT player_id, transaction_id, concat_ws('-', partition, epoch, sequence, entry_index) "
            "AS entry_id FROM ledger.entries WHERE kind = 'bet'"
        )
    finally:
        await connection.close()
    assert adopted.fenced == {}
    assert incidents == []
    recorded: dict[str, dict[str, str]] = {player: {} for player in players}
    for row in rows:
        recorded[row["player_id"]][row["transaction_id"]] = row["entry_id"]
    assert recorded == answers
    assert all(answers.values())

"""How a run ends: everything is certain, drained, audited, and read."""

import asyncpg
import grpc

from persistence.transactions import OutboxPosition
from stakehold.v1 import wallet_service_pb2
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests.answers import read_balance
from tests.faults.books import Amounts, Books, Wallet, amounts_of, read_books
from tests.faults.cast import Cast
from tests.faults.checks.case import Breach, Violation
from tests.waiting import until

_DRAIN_PATIENCE_S = 60.0
_READ_TIMEOUT_S = 10.0


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


async def hot_wallets(cast: Cast, players: list[str]) -> dict[Wallet, tuple[int, Amounts]]:
    """As the service shows them."""
    found: dict[Wallet, tuple[int, Amounts]] = {}
    async with grpc.aio.insecure_channel(cast.addresses()[0]) as channel:
        stub = WalletServiceStub(channel)
        for player in players:
            request = wallet_service_pb2.GetWalletRequest(player_id=player)
            shown = await stub.GetWallet(request, timeout=_READ_TIMEOUT_S)
            for message in shown.balances:
                balance = read_balance(message)
                found[Wallet(player, balance.currency)] = balance.version, amounts_of(balance)
    return found


async def audit(cast: Cast) -> list[Violation]:
    """What `stakehold verify` says that is wrong."""
    status, said = await cast.command("verify")
    return [] if status == 0 else [Violation(Breach.AUDIT, f"verify exits {status}:\n{said}")]


async def final_books(cast: Cast, players: list[str]) -> Books:
    return await read_books(cast.ledger.dsn, await hot_wallets(cast, players))

"""Books that agree, and ways to cook them.

Tampering is done as a superuser with the ledger's triggers switched off: the worst that can happen to it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from persistence.audit.audit import Audit
from persistence.audit.findings import AuditSummary, Finding, FindingKind
from persistence.transactions import PlayerId, TransactionKind, WalletStatus
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.drained_ledger import USD, Wallets, movement, rollback
from tests.ledgers import Ledgers

BET, WIN, DEPOSIT = TransactionKind.BET, TransactionKind.WIN, TransactionKind.DEPOSIT
ANNA, BOB = PlayerId("anna"), PlayerId("bob")


@dataclass(frozen=True, slots=True)
class Books:
    """A store, and a ledger that agrees with it, to be copied before anybody touches it."""

    valkey_url: str
    ledger: str


async def fill(money: Wallets) -> None:
    for player in (ANNA, BOB):
        await money.open(player)
        await money.move(player, movement(DEPOSIT, "d1", 10_000), source="cashier")
        for number in range(1, 5):
            await money.move(player, movement(BET, f"b{number}", 100 * number, round_id=f"r{number}"))
        await money.move(player, movement(WIN, "w4", 900, round_id="r4"))
        await money.move(player, rollback("x1", "b1"))
        await money.refused(player, movement(BET, "b9", 10**9))
    await money.open(ANNA, USD)
    await money.set_status(BOB, WalletStatus.CLOSED)
    await money.drain()


@asynccontextmanager
async def copied(ledgers: Ledgers, books: Books) -> AsyncIterator[str]:
    async with ledgers.fresh(template=books.ledger) as dsn:
        yield dsn


async def tamper(dsn: str, statement: str) -> None:
    """Changes exactly one row behind the ledger's back."""
    connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
    try:
        await connection.execute("SET session_replication_role = replica")
        done = await connection.execute(statement)
        assert done.split()[-1] == "1", f"{done}: {statement}"
    finally:
        await connection.close()


async def value(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def entry_id(dsn: str, condition: str) -> str:
    """The id of the one entry of which the condition holds."""
    found = await value(
        dsn,
        "SELECT concat_ws('-', partition, epoch, sequence, entry_index) FROM ledger.entries "
        f"WHERE {condition}",
    )
    return str(found)


async def audited(
    dsn: str, valkey_url: str | None, player: PlayerId | None = None
) -> tuple[list[Finding], AuditSummary]:
    findings: list[Finding] = []
    async for event in Audit(dsn, valkey_url=valkey_url, batch_size=3).run(player):
        if isinstance(event, AuditSummary):
            return findings, event
        findings.append(event)
    raise AssertionError("no summary")


def kinds(findings: list[Finding]) -> set[FindingKind]:
    return {finding.kind for finding in findings}


def of_kind(findings: list[Finding], kind: FindingKind) -> list[Finding]:
    return [finding for finding in findings if finding.kind is kind]


def of_entry(entry: str) -> str:
    partition, epoch, sequence, index = entry.split("-")
    return f"WHERE (partition, epoch, sequence, entry_index) = ({partition}, {epoch}, {sequence}, {index})"

"""Notes in the ledger that everything was audited, and how many findings there were."""

from datetime import datetime

from persistence.audit.findings import AuditSummary
from persistence.postgres.database import LedgerRole, ledger_connection, translated_errors
from persistence.postgres.queries import query

_STATEMENT_TIMEOUT_S = 10.0


async def record_verification(
    postgres_url: str, summary: AuditSummary, *, started_time: datetime, with_hot_wallets: bool
) -> None:
    """Raises LedgerUnavailable, and SetupRefused where the ledger is of an older release."""
    async with ledger_connection(
        postgres_url,
        role=LedgerRole.WRITER,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
        application="stakehold audit",
    ) as connection:
        with translated_errors():
            await connection.execute(
                query("record_verification"),
                started_time,
                with_hot_wallets,
                summary.entry_count,
                summary.wallet_count,
                summary.undrained_wallet_count,
                summary.finding_count,
            )

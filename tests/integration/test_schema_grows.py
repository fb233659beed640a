"""A migration under a running server: what was prepared before is prepared anew, and nobody notices."""

import asyncio

import asyncpg
import pytest

from persistence.errors import LedgerUnavailable
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.timed_transactions import timed_transaction
from service.embedded import EmbeddedValkey
from stakehold.v1 import admin_service_pb2 as admin_pb
from stakehold.v1 import submission_service_pb2 as submission_pb
from stakehold.v1 import transaction_pb2
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from stakehold.v1.admin_service_pb2_grpc import AdminServiceStub
from stakehold.v1.command_pb2 import Command
from stakehold.v1.money_pb2 import Money
from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceStub
from tests.serving import Grounds
from tests.upgrade.balancing import balanced_channel

TIMEOUT_S = 20.0
TIMES = 10
"""Often enough for each connection of a pool to have the statement prepared."""


async def test_a_column_more_is_noticed_by_no_caller(private_valkey: EmbeddedValkey, ledger_dsn: str) -> None:
    async with (
        Grounds(private_valkey.url, ledger_dsn).serving() as server,
        balanced_channel([server.address]) as channel,
    ):
        source = admin_pb.PutSourceRequest(source=admin_pb.Source(source_id="games"))
        await AdminServiceStub(channel).PutSource(source, timeout=TIMEOUT_S)
        submissions = SubmissionServiceStub(channel)
        for number in range(TIMES):
            await submissions.Submit(iter([submission(f"before-{number}")]), timeout=TIMEOUT_S)

        owner = await asyncpg.connect(ledger_dsn)
        try:
            await owner.execute("ALTER TABLE inbox.submissions ADD COLUMN of_the_next_release text")
        finally:
            await owner.close()

        for number in range(TIMES):
            answer = await submissions.Submit(iter([submission(f"after-{number}")]), timeout=TIMEOUT_S)
            assert not answer.replayed


async def test_a_statement_of_before_fails_once_in_a_transaction_as_if_the_ledger_were_away(
    ledger_dsn: str,
) -> None:
    async with ledger_pool(
        ledger_dsn, role=LedgerRole.READER, size=1, statement_timeout_s=5.0, application="test"
    ) as pool:

        async def read_in_a_transaction() -> None:
            async with timed_transaction(pool, asyncio.get_running_loop().time() + TIMEOUT_S) as connection:
                await connection.fetch("SELECT * FROM inbox.submissions")

        await read_in_a_transaction()
        owner = await asyncpg.connect(ledger_dsn)
        try:
            await owner.execute("ALTER TABLE inbox.submissions ADD COLUMN of_the_next_release text")
        finally:
            await owner.close()

        with pytest.raises(LedgerUnavailable):
            await read_in_a_transaction()
        await read_in_a_transaction()


def submission(submission_id: str) -> submission_pb.SubmitRequest:
    credit = wallet_pb.CreditRequest(
        source_id="games",
        player_id="ada",
        transaction_id=submission_id,
        kind=transaction_pb2.TransactionKind.TRANSACTION_KIND_BONUS,
        amount=Money(currency_code="EUR", amount="1.00"),
    )
    return submission_pb.SubmitRequest(
        source_id="games", submission_id=submission_id, commands=[Command(credit=credit)]
    )

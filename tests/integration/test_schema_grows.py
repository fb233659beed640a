"""A migration under a running server: what was prepared before is prepared anew, and nobody notices."""

import asyncpg

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


async def test_a_column_more_is_noticed_by_no_caller(private_valkey: EmbeddedValkey, ledger_dsn: str) -> None:
    async with (
        Grounds(private_valkey.url, ledger_dsn).serving() as server,
        balanced_channel([server.address]) as channel,
    ):
        source = admin_pb.PutSourceRequest(source=admin_pb.Source(source_id="games"))
        await AdminServiceStub(channel).PutSource(source, timeout=TIMEOUT_S)
        submissions = SubmissionServiceStub(channel)
        await submissions.Submit(iter([submission("before")]), timeout=TIMEOUT_S)

        owner = await asyncpg.connect(ledger_dsn)
        try:
            await owner.execute("ALTER TABLE inbox.submissions ADD COLUMN of_the_next_release text")
        finally:
            await owner.close()

        receipt = await submissions.Submit(iter([submission("after")]), timeout=TIMEOUT_S)
    assert receipt.receipt.submission_id == "after"


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

"""CashierService over a real channel, in the few words that tests need."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from stakehold.v1 import cashier_service_pb2 as pb
from stakehold.v1 import money_pb2
from stakehold.v1 import round_service_pb2 as round_pb
from stakehold.v1.cashier_service_pb2_grpc import CashierServiceStub
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub
from tests.answers import refused

if TYPE_CHECKING:  # these exist for type checkers only
    from stakehold.v1.round_service_pb2_grpc import RoundServiceAsyncStub

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class CashierApi:
    """Every call raises Refused for any answer other than OK. Amounts are in EUR."""

    stub: Any
    rounds: "RoundServiceAsyncStub"
    source: str
    player: str

    async def ask(self, rpc: str, **fields: Any) -> Any:
        """Any of the service's methods; its request's fields but for the source's."""
        request_type = getattr(pb, f"{rpc}Request")
        if "source_id" in request_type.DESCRIPTOR.fields_by_name:
            fields.setdefault("source_id", self.source)
        amount = request_type.DESCRIPTOR.fields_by_name.get("amount")
        if isinstance(fields.get("amount"), str) and amount is not None and amount.message_type is not None:
            fields["amount"] = money_pb2.Money(currency_code="EUR", amount=fields["amount"])
        try:
            return await getattr(self.stub, rpc)(request_type(**fields), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def deposit(self, deposit_id: str, amount: str = "50.00", **fields: Any) -> Any:
        return await self.ask(
            "CreateDeposit", player_id=self.player, deposit_id=deposit_id, amount=amount, **fields
        )

    async def about_deposit(self, rpc: str, deposit_id: str, **fields: Any) -> str:
        """The state that the message leads to."""
        answer = await self.ask(rpc, deposit_id=deposit_id, **fields)
        return deposit_state(answer.deposit)

    async def withdrawal(self, withdrawal_id: str, amount: str = "60.00", **fields: Any) -> Any:
        return await self.ask(
            "RequestWithdrawal", player_id=self.player, withdrawal_id=withdrawal_id, amount=amount, **fields
        )

    async def about_withdrawal(self, rpc: str, withdrawal_id: str, **fields: Any) -> str:
        """The state that the message leads to."""
        answer = await self.ask(rpc, withdrawal_id=withdrawal_id, **fields)
        return withdrawal_state(answer.withdrawal)

    async def sent_withdrawal(self, withdrawal_id: str, amount: str = "60.00") -> None:
        """Asked for, approved, and with the payment provider."""
        await self.withdrawal(withdrawal_id, amount)
        await self.about_withdrawal("ApproveWithdrawal", withdrawal_id, approver="alice")
        await self.about_withdrawal("MarkWithdrawalSent", withdrawal_id)

    async def propose(self, correction_id: str, amount: str, **fields: Any) -> Any:
        fields = {"author": "alice", "reason": "a typo", **fields}
        return await self.ask(
            "ProposeCorrection",
            correction_id=correction_id,
            player_id=self.player,
            currency_code="EUR",
            amount=amount,
            **fields,
        )

    async def reviews(self) -> list[str]:
        """The kinds of the source's open reviews."""
        request = round_pb.ListReviewsRequest(source_id=self.source)
        found = await self.rounds.ListReviews(request, timeout=TIMEOUT_S)
        return [
            round_pb.ReviewKind.Name(review.kind).removeprefix("REVIEW_KIND_") for review in found.reviews
        ]


def deposit_state(deposit: pb.Deposit) -> str:
    return pb.DepositState.Name(deposit.state).removeprefix("DEPOSIT_STATE_")


def withdrawal_state(withdrawal: pb.Withdrawal) -> str:
    return pb.WithdrawalState.Name(withdrawal.state).removeprefix("WITHDRAWAL_STATE_")


def correction_state(correction: pb.Correction) -> str:
    return pb.CorrectionState.Name(correction.state).removeprefix("CORRECTION_STATE_")


@asynccontextmanager
async def cashier_api(address: str, source: str, player: str) -> AsyncIterator[CashierApi]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield CashierApi(CashierServiceStub(channel), RoundServiceStub(channel), source, player)

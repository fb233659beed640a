"""CashierService: deposits, withdrawals and corrections."""

from datetime import UTC, datetime
from typing import Any

from grpc.aio import ServicerContext

from persistence.cashier.cases import Case, CaseName, Message, NewCase, Told
from persistence.cashier.desk import Answer, CashDesk
from persistence.postgres.cases import CaseTable
from service.approval_limits import ApprovalLimits
from service.conversions.cashier import (
    approval,
    cancellation,
    correction_message,
    correction_name,
    deposit_message,
    deposit_name,
    new_correction,
    new_deposit,
    new_withdrawal,
    read_correction_filter,
    read_deposit_filter,
    read_withdrawal_filter,
    rejection,
    said_messages,
    told_by_service,
    withdrawal_message,
    withdrawal_name,
)
from service.conversions.ledger import read_page_size
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import cashier_service_pb2 as pb
from stakehold.v1 import cashier_service_pb2_grpc

Context = ServicerContext[Any, Any]


class CashierServicer(cashier_service_pb2_grpc.CashierServiceServicer):
    """Answers from the record, once the wallet has done what a message leads to."""

    def __init__(
        self,
        desk: CashDesk,
        cases: CaseTable,
        registry: Registry,
        deadlines: Deadlines,
        *,
        limits: ApprovalLimits,
        deposit_expiry_s: float,
    ) -> None:
        self._desk = desk
        self._cases = cases
        self._registry = registry
        self._deadlines = deadlines
        self._limits = limits
        self._deposit_expiry_s = deposit_expiry_s

    async def CreateDeposit(
        self, request: pb.CreateDepositRequest, context: Context
    ) -> pb.CreateDepositResponse:
        now = datetime.now(UTC)
        new = new_deposit(request, self._registry, now=now, expiry_s=self._deposit_expiry_s)
        answer = await self._open(new, context)
        return pb.CreateDepositResponse(deposit=self._deposit(answer.case), replayed=answer.replayed)

    async def MarkDepositPending(
        self, request: pb.MarkDepositPendingRequest, context: Context
    ) -> pb.MarkDepositPendingResponse:
        name = deposit_name(request, self._registry)
        answer = await self._tell(name, told_by_service(Message.PENDING, request, self._registry), context)
        return pb.MarkDepositPendingResponse(deposit=self._deposit(answer.case), replayed=answer.replayed)

    async def CreditDeposit(
        self, request: pb.CreditDepositRequest, context: Context
    ) -> pb.CreditDepositResponse:
        name = deposit_name(request, self._registry)
        answer = await self._tell(name, told_by_service(Message.CREDIT, request, self._registry), context)
        return pb.CreditDepositResponse(deposit=self._deposit(answer.case), replayed=answer.replayed)

    async def FailDeposit(self, request: pb.FailDepositRequest, context: Context) -> pb.FailDepositResponse:
        name = deposit_name(request, self._registry)
        answer = await self._tell(name, told_by_service(Message.FAIL, request, self._registry), context)
        return pb.FailDepositResponse(deposit=self._deposit(answer.case), replayed=answer.replayed)

    async def ChargeBackDeposit(
        self, request: pb.ChargeBackDepositRequest, context: Context
    ) -> pb.ChargeBackDepositResponse:
        name = deposit_name(request, self._registry)
        told = told_by_service(Message.CHARGE_BACK, request, self._registry)
        answer = await self._tell(name, told, context)
        return pb.ChargeBackDepositResponse(deposit=self._deposit(answer.case), replayed=answer.replayed)

    async def GetDeposit(self, request: pb.GetDepositRequest, context: Context) -> pb.GetDepositResponse:
        name = deposit_name(request, self._registry)
        case, said = await self._cases.read(name, deadline=self._deadlines.of(context))
        await self._registry.know([case.currency])
        return pb.GetDepositResponse(deposit=self._deposit(case), messages=said_messages(said))

    async def ListDeposits(
        self, request: pb.ListDepositsRequest, context: Context
    ) -> pb.ListDepositsResponse:
        page = await self._cases.list(
            read_deposit_filter(request),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        await self._registry.know(case.currency for case in page.cases)
        return pb.ListDepositsResponse(
            deposits=[self._deposit(case) for case in page.cases], next_page_token=page.next_page_token
        )

    async def RequestWithdrawal(
        self, request: pb.RequestWithdrawalRequest, context: Context
    ) -> pb.RequestWithdrawalResponse:
        answer = await self._open(new_withdrawal(request, self._registry, self._limits), context)
        return pb.RequestWithdrawalResponse(
            withdrawal=self._withdrawal(answer.case), replayed=answer.replayed
        )

    async def ApproveWithdrawal(
        self, request: pb.ApproveWithdrawalRequest, context: Context
    ) -> pb.ApproveWithdrawalResponse:
        name = withdrawal_name(request, self._registry)
        answer = await self._tell(name, approval(request.approver), context)
        return pb.ApproveWithdrawalResponse(
            withdrawal=self._withdrawal(answer.case), replayed=answer.replayed
        )

    async def RejectWithdrawal(
        self, request: pb.RejectWithdrawalRequest, context: Context
    ) -> pb.RejectWithdrawalResponse:
        name = withdrawal_name(request, self._registry)
        answer = await self._tell(name, rejection(request), context)
        return pb.RejectWithdrawalResponse(withdrawal=self._withdrawal(answer.case), replayed=answer.replayed)

    async def MarkWithdrawalSent(
        self, request: pb.MarkWithdrawalSentRequest, context: Context
    ) -> pb.MarkWithdrawalSentResponse:
        name = withdrawal_name(request, self._registry)
        answer = await self._tell(name, told_by_service(Message.SENT, request, self._registry), context)
        return pb.MarkWithdrawalSentResponse(
            withdrawal=self._withdrawal(answer.case), replayed=answer.replayed
        )

    async def MarkWithdrawalPaid(
        self, request: pb.MarkWithdrawalPaidRequest, context: Context
    ) -> pb.MarkWithdrawalPaidResponse:
        name = withdrawal_name(request, self._registry)
        answer = await self._tell(name, told_by_service(Message.PAID, request, self._registry), context)
        return pb.MarkWithdrawalPaidResponse(
            withdrawal=self._withdrawal(answer.case), replayed=answer.replayed
        )

    async def FailWithdrawal(
        self, request: pb.FailWithdrawalRequest, context: Context
    ) -> pb.FailWithdrawalResponse:
        name = withdrawal_name(request, self._registry)
        answer = await self._tell(name, told_by_service(Message.FAIL, request, self._registry), context)
        return pb.FailWithdrawalResponse(withdrawal=self._withdrawal(answer.case), replayed=answer.replayed)

    async def CancelWithdrawal(
        self, request: pb.CancelWithdrawalRequest, context: Context
    ) -> pb.CancelWithdrawalResponse:
        name = withdrawal_name(request, self._registry)
        answer = await self._tell(name, cancellation(request), context)
        return pb.CancelWithdrawalResponse(withdrawal=self._withdrawal(answer.case), replayed=answer.replayed)

    async def GetWithdrawal(
        self, request: pb.GetWithdrawalRequest, context: Context
    ) -> pb.GetWithdrawalResponse:
        name = withdrawal_name(request, self._registry)
        case, said = await self._cases.read(name, deadline=self._deadlines.of(context))
        await self._registry.know([case.currency])
        return pb.GetWithdrawalResponse(withdrawal=self._withdrawal(case), messages=said_messages(said))

    async def ListWithdrawals(
        self, request: pb.ListWithdrawalsRequest, context: Context
    ) -> pb.ListWithdrawalsResponse:
        page = await self._cases.list(
            read_withdrawal_filter(request),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        await self._registry.know(case.currency for case in page.cases)
        return pb.ListWithdrawalsResponse(
            withdrawals=[self._withdrawal(case) for case in page.cases],
            next_page_token=page.next_page_token,
        )

    async def ProposeCorrection(
        self, request: pb.ProposeCorrectionRequest, context: Context
    ) -> pb.ProposeCorrectionResponse:
        answer = await self._open(new_correction(request, self._registry), context)
        return pb.ProposeCorrectionResponse(
            correction=self._correction(answer.case), replayed=answer.replayed
        )

    async def ApproveCorrection(
        self, request: pb.ApproveCorrectionRequest, context: Context
    ) -> pb.ApproveCorrectionResponse:
        answer = await self._tell(correction_name(request), approval(request.approver), context)
        return pb.ApproveCorrectionResponse(
            correction=self._correction(answer.case), replayed=answer.replayed
        )

    async def RejectCorrection(
        self, request: pb.RejectCorrectionRequest, context: Context
    ) -> pb.RejectCorrectionResponse:
        answer = await self._tell(correction_name(request), rejection(request), context)
        return pb.RejectCorrectionResponse(correction=self._correction(answer.case), replayed=answer.replayed)

    async def GetCorrection(
        self, request: pb.GetCorrectionRequest, context: Context
    ) -> pb.GetCorrectionResponse:
        case, said = await self._cases.read(correction_name(request), deadline=self._deadlines.of(context))
        await self._registry.know([case.currency])
        return pb.GetCorrectionResponse(correction=self._correction(case), messages=said_messages(said))

    async def ListCorrections(
        self, request: pb.ListCorrectionsRequest, context: Context
    ) -> pb.ListCorrectionsResponse:
        page = await self._cases.list(
            read_correction_filter(request),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        await self._registry.know(case.currency for case in page.cases)
        return pb.ListCorrectionsResponse(
            corrections=[self._correction(case) for case in page.cases],
            next_page_token=page.next_page_token,
        )

    async def _open(self, new: NewCase, context: Context) -> Answer:
        return await self._desk.open(new, deadline=self._deadlines.of(context))

    async def _tell(self, name: CaseName, told: Told, context: Context) -> Answer:
        answer = await self._desk.tell(name, told, deadline=self._deadlines.of(context))
        await self._registry.learn([answer.case.currency])
        return answer

    def _deposit(self, case: Case) -> pb.Deposit:
        return deposit_message(case, self._registry)

    def _withdrawal(self, case: Case) -> pb.Withdrawal:
        return withdrawal_message(case, self._registry)

    def _correction(self, case: Case) -> pb.Correction:
        return correction_message(case, self._registry)

"""SportsbookService: what becomes of slips."""

from typing import Any

from grpc.aio import ServicerContext

from persistence.calls import Call
from persistence.errors import SlipNotFound
from persistence.postgres.reading.slips import SlipReader
from persistence.transactions import SourceId
from persistence.valkey.engine import Engine
from service.conversions.fields import read_player_id, read_transaction_id
from service.conversions.ledger import read_page_size
from service.conversions.results import currencies_of, result_message
from service.conversions.slip_lists import read_slip_filter, slip_page_message
from service.conversions.slips import (
    cash_out_call,
    place_call,
    reopen_call,
    resettle_call,
    settle_call,
    slip_message,
    unsettle_call,
    void_call,
)
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import sportsbook_service_pb2 as pb
from stakehold.v1 import sportsbook_service_pb2_grpc, transaction_pb2

Context = ServicerContext[Any, Any]


class SportsbookServicer(sportsbook_service_pb2_grpc.SportsbookServiceServicer):
    """Answers from the hot path; lists are the ledger's."""

    def __init__(self, engine: Engine, registry: Registry, slips: SlipReader, deadlines: Deadlines) -> None:
        self._engine = engine
        self._registry = registry
        self._slips = slips
        self._deadlines = deadlines

    async def PlaceSlip(self, request: pb.PlaceSlipRequest, context: Context) -> pb.PlaceSlipResponse:
        result = await self._one(place_call(request, self._registry), context)
        return pb.PlaceSlipResponse(result=result)

    async def SettleSlip(self, request: pb.SettleSlipRequest, context: Context) -> pb.SettleSlipResponse:
        result = await self._one(settle_call(request, self._registry), context)
        return pb.SettleSlipResponse(result=result)

    async def ResettleSlip(
        self, request: pb.ResettleSlipRequest, context: Context
    ) -> pb.ResettleSlipResponse:
        result = await self._one(resettle_call(request, self._registry), context)
        return pb.ResettleSlipResponse(result=result)

    async def UnsettleSlip(
        self, request: pb.UnsettleSlipRequest, context: Context
    ) -> pb.UnsettleSlipResponse:
        result = await self._one(unsettle_call(request, self._registry), context)
        return pb.UnsettleSlipResponse(result=result)

    async def VoidSlip(self, request: pb.VoidSlipRequest, context: Context) -> pb.VoidSlipResponse:
        result = await self._one(void_call(request, self._registry), context)
        return pb.VoidSlipResponse(result=result)

    async def ReopenSlip(self, request: pb.ReopenSlipRequest, context: Context) -> pb.ReopenSlipResponse:
        result = await self._one(reopen_call(request, self._registry), context)
        return pb.ReopenSlipResponse(result=result)

    async def CashOutSlip(self, request: pb.CashOutSlipRequest, context: Context) -> pb.CashOutSlipResponse:
        result = await self._one(cash_out_call(request, self._registry), context)
        return pb.CashOutSlipResponse(result=result)

    async def GetSlip(self, request: pb.GetSlipRequest, context: Context) -> pb.GetSlipResponse:
        player_id = read_player_id(request.player_id)
        source_id = SourceId(self._registry.source(request.source_id).source_id)
        slip_id = read_transaction_id(request.slip_id, "slip_id")
        view = await self._engine.read_player(
            player_id, transaction=(source_id, slip_id), deadline=self._deadlines.of(context)
        )
        record = view.transaction
        if record is None or record.slip is None or record.slip.slip_id != slip_id:
            raise SlipNotFound(slip_id)
        await self._registry.learn([record.slip.currency])
        return pb.GetSlipResponse(
            slip=slip_message(record.slip, self._registry), wallet_currency_code=record.currency or ""
        )

    async def ListSlips(self, request: pb.ListSlipsRequest, context: Context) -> pb.ListSlipsResponse:
        page = await self._slips.list_slips(
            read_slip_filter(request),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        await self._registry.learn(listed.slip.currency for listed in page.slips)
        return slip_page_message(page, self._registry)

    async def _one(self, call: Call, context: Context) -> transaction_pb2.TransactionResult:
        (result,) = await self._engine.transact(call, deadline=self._deadlines.of(context))
        await self._registry.learn(currencies_of([result]))
        return result_message(result, self._registry)

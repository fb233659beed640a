"""FxService: rates, decisions about held ones, pairs, pivots and spreads; and the house's positions."""

from collections.abc import Callable
from typing import Any

from grpc.aio import ServicerContext

from persistence.errors import FieldInvalid
from persistence.postgres.rate_reader import RateReader
from persistence.postgres.rate_rows import RecordedRate
from persistence.postgres.rates import Decision
from persistence.postgres.reading.positions import PositionReader
from service.conversions.administration import read_reason
from service.conversions.fields import read_optional_id
from service.conversions.ledger import read_page_size
from service.conversions.positions import positions_response, read_position_period
from service.conversions.rates import (
    conversion_response,
    pair_message,
    push_response,
    rate_message,
    rate_messages,
    read_conversion_amount,
    read_pair,
    read_pair_key,
    read_person,
    read_pivots,
    read_player_group,
    read_pushed_rates,
    read_rate_period,
    read_rate_source,
    read_rate_times,
    read_side,
    read_spread,
    read_spread_scope,
    spread_message,
)
from service.rates import Rates
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import fx_service_pb2 as pb
from stakehold.v1 import fx_service_pb2_grpc

Context = ServicerContext[Any, Any]


class FxServicer(fx_service_pb2_grpc.FxServiceServicer):
    """Conversions are answered from memory, everything else by Postgres."""

    def __init__(
        self,
        rates: Rates,
        reader: RateReader,
        positions: PositionReader,
        registry: Registry,
        deadlines: Deadlines,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._rates = rates
        self._reader = reader
        self._positions = positions
        self._registry = registry
        self._deadlines = deadlines
        self._now_ms = now_ms

    async def PushRates(self, request: pb.PushRatesRequest, context: Context) -> pb.PushRatesResponse:
        results = await self._rates.push(
            read_rate_source(request.source),
            read_pushed_rates(request),
            pushed_by=read_optional_id(request.pushed_by, "pushed_by"),
            deadline=self._deadlines.of(context),
        )
        return push_response(results)

    async def ConfirmRate(self, request: pb.ConfirmRateRequest, context: Context) -> pb.ConfirmRateResponse:
        return pb.ConfirmRateResponse(
            rate=rate_message(await self._decide(request, Decision.CONFIRMED, context))
        )

    async def RejectRate(self, request: pb.RejectRateRequest, context: Context) -> pb.RejectRateResponse:
        return pb.RejectRateResponse(
            rate=rate_message(await self._decide(request, Decision.REJECTED, context))
        )

    async def _decide(
        self, request: pb.ConfirmRateRequest | pb.RejectRateRequest, decision: Decision, context: Context
    ) -> RecordedRate:
        return await self._rates.decide(
            request.rate_id,
            decision,
            by=read_person(request.by),
            reason=read_reason(request.reason),
            deadline=self._deadlines.of(context),
        )

    async def ListHeldRates(
        self, request: pb.ListHeldRatesRequest, context: Context
    ) -> pb.ListHeldRatesResponse:
        page = await self._reader.list_waiting(
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        return pb.ListHeldRatesResponse(rates=rate_messages(page), next_page_token=page.next_page_token)

    async def ListRates(self, request: pb.ListRatesRequest, context: Context) -> pb.ListRatesResponse:
        page = await self._reader.list_rates(
            read_rate_period(request, self._registry),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        return pb.ListRatesResponse(rates=rate_messages(page), next_page_token=page.next_page_token)

    async def GetRateAt(self, request: pb.GetRateAtRequest, context: Context) -> pb.GetRateAtResponse:
        base, quote = read_pair_key(request.base, request.quote, self._registry)
        at_ms, known_ms = read_rate_times(request)
        recorded = await self._reader.rate_at(
            base, quote, at_ms=at_ms, known_ms=known_ms, deadline=self._deadlines.of(context)
        )
        return pb.GetRateAtResponse(rate=rate_message(recorded))

    async def GetConversion(
        self, request: pb.GetConversionRequest, context: Context
    ) -> pb.GetConversionResponse:
        currency = self._registry.currency(request.currency_code, "currency_code").code
        wallet_currency = self._registry.currency(request.wallet_currency_code, "wallet_currency_code").code
        if currency == wallet_currency:
            raise FieldInvalid("wallet_currency_code", "must be another currency than the transaction's")
        amount = read_conversion_amount(request, self._registry)
        lock = self._rates.lock(
            currency,
            wallet_currency,
            side=read_side(request.side),
            player_group=read_player_group(request.player_group, "player_group"),
        )
        return conversion_response(lock, amount, self._registry)

    async def PutPair(self, request: pb.PutPairRequest, context: Context) -> pb.PutPairResponse:
        pair = read_pair(request.pair, self._registry)
        created = await self._rates.put_pair(pair, deadline=self._deadlines.of(context))
        return pb.PutPairResponse(pair=pair_message(pair), created=created)

    async def ListPairs(self, request: pb.ListPairsRequest, context: Context) -> pb.ListPairsResponse:
        pairs, pivots = await self._reader.pairs_and_pivots(deadline=self._deadlines.of(context))
        return pb.ListPairsResponse(pairs=[pair_message(pair) for pair in pairs], pivot_currency_codes=pivots)

    async def PutPivots(self, request: pb.PutPivotsRequest, context: Context) -> pb.PutPivotsResponse:
        codes = read_pivots(request, self._registry)
        await self._rates.put_pivots(codes, deadline=self._deadlines.of(context))
        return pb.PutPivotsResponse(pivot_currency_codes=codes)

    async def PutSpread(self, request: pb.PutSpreadRequest, context: Context) -> pb.PutSpreadResponse:
        spread = read_spread(request.spread, self._registry)
        created = await self._rates.put_spread(spread, deadline=self._deadlines.of(context))
        return pb.PutSpreadResponse(spread=spread_message(spread), created=created)

    async def DeleteSpread(
        self, request: pb.DeleteSpreadRequest, context: Context
    ) -> pb.DeleteSpreadResponse:
        spread = read_spread_scope(request, self._registry)
        deleted = await self._rates.remove_spread(spread, deadline=self._deadlines.of(context))
        return pb.DeleteSpreadResponse(deleted=deleted)

    async def ListSpreads(self, request: pb.ListSpreadsRequest, context: Context) -> pb.ListSpreadsResponse:
        spreads = await self._reader.spreads(deadline=self._deadlines.of(context))
        return pb.ListSpreadsResponse(spreads=[spread_message(spread) for spread in spreads])

    async def GetPositions(
        self, request: pb.GetPositionsRequest, context: Context
    ) -> pb.GetPositionsResponse:
        reporting = self._registry.currency(request.reporting_currency_code, "reporting_currency_code").code
        period = read_position_period(request, now_ms=self._now_ms())
        report = await self._positions.report(
            period, reporting=reporting, deadline=self._deadlines.of(context)
        )
        return positions_response(report, period, reporting=reporting, scales=self._registry)

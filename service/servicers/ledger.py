"""LedgerService: reads the durable ledger."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc.aio import ServicerContext

from persistence.audit.audit import Audit
from persistence.errors import DeadlineExceeded, Overloaded
from persistence.postgres.reading.ledger_reader import LedgerReader
from service.conversions.fields import read_player_id
from service.conversions.ledger import (
    audit_message,
    entry_page_message,
    past_balance_message,
    read_currency_code,
    read_entry_filter,
    read_page_size,
    read_point,
    read_statement_period,
    statement_message,
    trial_balance_message,
)
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import ledger_service_pb2 as pb
from stakehold.v1 import ledger_service_pb2_grpc

Context = ServicerContext[Any, Any]

_MOST_AUDITS = 4
_AUDIT_RETRY_DELAY_MS = 5_000
_PATIENCE_S = 60.0


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Answers from Postgres; only an audit looks at the hot wallets too."""

    def __init__(self, reader: LedgerReader, registry: Registry, audit: Audit, deadlines: Deadlines) -> None:
        self._reader = reader
        self._registry = registry
        self._audit = audit
        self._deadlines = deadlines
        self._audits_under_way = 0

    async def ListEntries(self, request: pb.ListEntriesRequest, context: Context) -> pb.ListEntriesResponse:
        page = await self._reader.list_entries(
            read_entry_filter(request, self._registry),
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        return entry_page_message(page, self._registry)

    async def GetStatement(
        self, request: pb.GetStatementRequest, context: Context
    ) -> pb.GetStatementResponse:
        period = read_statement_period(request, self._registry)
        page = await self._reader.read_statement(
            period,
            page_size=read_page_size(request.page_size),
            page_token=request.page_token,
            deadline=self._deadlines.of(context),
        )
        return statement_message(page, period, self._registry)

    async def GetBalanceAt(
        self, request: pb.GetBalanceAtRequest, context: Context
    ) -> pb.GetBalanceAtResponse:
        player_id = read_player_id(request.player_id)
        currency = read_currency_code(request.currency_code, self._registry)
        end, version = read_point(request)
        past = await self._reader.balance_at(
            player_id, currency, end=end, version=version, deadline=self._deadlines.of(context)
        )
        return past_balance_message(past, self._registry)

    async def GetTrialBalance(
        self, request: pb.GetTrialBalanceRequest, context: Context
    ) -> pb.GetTrialBalanceResponse:
        code = request.currency_code
        currency = read_currency_code(code, self._registry) if code else None
        lines = await self._reader.trial_balance(currency, deadline=self._deadlines.of(context))
        return trial_balance_message(lines, self._registry)

    async def Audit(self, request: pb.AuditRequest, context: Context) -> AsyncIterator[pb.AuditResponse]:
        player_id = read_player_id(request.player_id) if request.player_id else None
        if self._audits_under_way >= _MOST_AUDITS:
            raise Overloaded("too many audits are under way", retry_delay_ms=_AUDIT_RETRY_DELAY_MS)
        self._audits_under_way += 1
        try:
            async with aclosing(self._audit.run(player_id)) as events:
                async for event in events:
                    message = audit_message(event)
                    if message.HasField("summary"):
                        yield message
                    else:
                        # Not yielded: a yield cannot be given up when it takes too long.
                        await _write(context, message)
        finally:
            self._audits_under_way -= 1


async def _write(context: Context, message: pb.AuditResponse) -> None:
    """An audit holds a snapshot of the whole ledger: it does not wait for ever for who does not read."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await context.write(message)
    except TimeoutError:
        raise DeadlineExceeded("the findings were not read for too long; audit again") from None

"""Audits hold a snapshot of the whole ledger each: there are few at once, and none waits for its reader."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from persistence.audit.audit import Audit
from persistence.errors import Overloaded
from service.servicers.deadlines import Deadlines
from service.servicers.ledger import LedgerServicer
from stakehold.v1 import ledger_service_pb2 as pb


class EndlessAudit:
    """Finds nothing, and does not end before it is given up."""

    def __init__(self) -> None:
        self.under_way = 0

    async def run(self, player_id: str | None) -> AsyncIterator[Any]:
        self.under_way += 1
        try:
            await asyncio.Event().wait()
            yield None
        finally:
            self.under_way -= 1


async def test_there_are_four_audits_at_once_and_another_one_when_one_was_given_up() -> None:
    audit = EndlessAudit()
    servicer = LedgerServicer(cast(Any, None), cast(Any, None), cast(Audit, audit), Deadlines(5.0))

    async def first_finding() -> pb.AuditResponse:
        return await anext(aiter(servicer.Audit(pb.AuditRequest(), cast(Any, None))))

    def begin() -> "asyncio.Task[pb.AuditResponse]":
        return asyncio.create_task(first_finding())

    under_way = [begin() for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await begin()
    under_way.pop().cancel()
    await asyncio.sleep(0.01)

    under_way.append(begin())
    await asyncio.sleep(0.01)
    assert audit.under_way == 4
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    assert audit.under_way == 0

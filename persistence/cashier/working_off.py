"""Goes on with cases that are under way and that nobody goes on with: whoever began has died, or could not
reach the wallet. And expires deposits that were announced and never came.
"""

from dataclasses import dataclass

import structlog

from persistence.cashier.cases import Case
from persistence.cashier.finishing import Finished, Finisher
from persistence.cashier.machines import UNDERTAKINGS
from persistence.postgres.cases import CaseTable
from persistence.valkey.engine import deadline_after

_log = structlog.get_logger(__name__)

_CASES_AT_ONCE = 50
_EXPIRED_AT_ONCE = 500
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Done:
    """What a pass did, and what there is to do. ``more`` where it should go on at once."""

    finished: int
    expired: int
    waiting: int
    oldest_s: float
    more: bool


class WorkingOff:
    """One pass does a bounded amount of work. Any number may run at once."""

    def __init__(self, table: CaseTable, finisher: Finisher) -> None:
        self._table = table
        self._finisher = finisher

    async def run_once(self) -> Done:
        """Raises LedgerUnavailable, and OutcomeUnknown where the record may or may not be committed."""
        expired = await self._table.expire(_EXPIRED_AT_ONCE, deadline=deadline_after(_TIMEOUT_S))
        due = await self._table.claim_due(_CASES_AT_ONCE, deadline=deadline_after(_TIMEOUT_S))
        finished, resting = 0, set[int]()
        for case in due:
            # A partition that does not answer holds nobody else up: its cases come again.
            if case.partition in resting:
                continue
            ended = await self._finish(case)
            if ended is not None and ended.case.state not in UNDERTAKINGS:
                finished += 1
            elif ended is None or ended.refusal is None:
                resting.add(case.partition)
        waiting = await self._table.waiting(deadline=deadline_after(_TIMEOUT_S))
        more = expired >= _EXPIRED_AT_ONCE or (len(due) >= _CASES_AT_ONCE and finished > 0)
        return Done(finished, expired, waiting.count, waiting.oldest_s, more)

    async def _finish(self, case: Case) -> Finished | None:
        """None where it went wrong."""
        try:
            return await self._finisher.finish(case, deadline=deadline_after(_TIMEOUT_S))
        except Exception:
            # A mistake of ours: it stays under way until that is corrected, and nobody else waits for it.
            _log.exception("case_failed", kind=case.name.kind, case=case.name.case_id)
            return None

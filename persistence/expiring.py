"""Gives back what is held past its expire time.

Which holds are due the ledger knows, so that no deadline is lost with a store or a process; whether one is
given back the wallet decides, by the store's clock. It is given back under an id that follows from the
slip's: at most once, however many try, whenever they die.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from persistence.calls import Call, Source, Step
from persistence.errors import NotDone, OutcomeUnknown, RefusalReason, Refused
from persistence.postgres.reading.slips import DueHold, SlipReader
from persistence.slips import SlipTerms
from persistence.transactions import Operation, TransactionId
from persistence.valkey.engine import Engine, deadline_after

_log = structlog.get_logger(__name__)

HOLDS_AT_ONCE = 200
_TIMEOUT_S = 10.0
_REST_S = 5.0
EXPIRY_PREFIX = "§expire:"
"""How the ids begin under which holds are given back. No caller has one like it: theirs are ASCII."""

_KNOWN_BETTER = frozenset((RefusalReason.HOLD_NOT_DUE, RefusalReason.BET_ROLLED_BACK))
"""The wallet is ahead of the ledger, which will know, too."""


@dataclass(slots=True)
class ExpiryCounts:
    """What was done since the start."""

    expired: int = 0
    left_alone: int = 0
    failed: int = 0


class Expiring:
    """One pass does a bounded amount of work. Any number may run at once. ``now_s`` is a clock that only
    goes forward.
    """

    def __init__(self, engine: Engine, slips: SlipReader, *, now_s: Callable[[], float]) -> None:
        self._engine = engine
        self._slips = slips
        self._now_s = now_s
        self._resting: dict[int, float] = {}
        self.counts = ExpiryCounts()

    async def run_once(self) -> bool:
        """Whether there may be more to do at once. A partition that cannot be asked rests for a while, so
        that it does not hold up the others. Raises LedgerUnavailable.
        """
        now_s = self._now_s()
        self._resting = {number: until for number, until in self._resting.items() if until > now_s}
        due = await self._slips.due_holds(
            most=HOLDS_AT_ONCE, without=tuple(self._resting), deadline=deadline_after(_TIMEOUT_S)
        )
        expired = 0
        for hold in due:
            if hold.partition not in self._resting:
                expired += await self._expire(hold)
        return len(due) == HOLDS_AT_ONCE and expired > 0

    async def _expire(self, hold: DueHold) -> bool:
        call = Call(hold.player_id, Source(hold.source_id), (_step(hold),))
        try:
            [result] = await self._engine.transact(call, deadline=deadline_after(_TIMEOUT_S))
        except Refused as refusal:
            self._note_refusal(hold, refusal)
            return False
        except (NotDone, OutcomeUnknown) as error:
            _log.warning("expiry_waits", partition=hold.partition, error=str(error))
            self._resting[hold.partition] = self._now_s() + _REST_S
            return False
        if not result.replayed:
            self.counts.expired += 1
        return not result.replayed

    def _note_refusal(self, hold: DueHold, refusal: Refused) -> None:
        reason = refusal.details.reason
        if reason in _KNOWN_BETTER:
            self.counts.left_alone += 1
            return
        self.counts.failed += 1
        _log.error(
            "hold_not_expired",
            player=hold.player_id,
            source=hold.source_id,
            slip=hold.slip_id,
            reason=str(reason),
        )


def expiry_id(slip_id: TransactionId) -> TransactionId:
    """The one transaction by which a slip can expire."""
    return TransactionId(f"{EXPIRY_PREFIX}{slip_id}")


def _step(hold: DueHold) -> Step:
    return Step(
        operation=Operation.EXPIRE,
        kind=None,
        transaction_id=expiry_id(hold.slip_id),
        currency=None,
        amount=None,
        reference=hold.slip_id,
        metadata=json.dumps({"stakehold.reason": "held past its expire time"}),
        terms=SlipTerms(),
    )

"""Follows which rounds are open in the ledger, and gives back bets that nothing settles.

A bet is found in the ledger, but whether it is given back the wallet decides: one that was settled or rolled
back meanwhile, or whose round was closed, is left as it is. It is given back under an id that follows from
its own, so at most once, however many try, whenever they die. The review is raised from the entry that this
left in the ledger: no bet is given back in silence.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from persistence.calls import Call, Source, Step
from persistence.errors import NotDone, OutcomeUnknown, RefusalReason, Refused
from persistence.postgres.open_rounds import OpenRoundTable, OrphanedRound, sweep_id
from persistence.transactions import Operation, TransactionId, TransactionKind
from persistence.valkey.engine import Engine, deadline_after

_log = structlog.get_logger(__name__)

ENTRIES_AT_ONCE = 2000
ROUNDS_AT_ONCE = 50
_BETS_AT_ONCE = 100
_TIMEOUT_S = 10.0
_LOOK_AGAIN_AFTER = timedelta(minutes=10)
_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)

_LEFT_ALONE = frozenset(
    (
        RefusalReason.BET_SETTLED,
        RefusalReason.BET_ROLLED_BACK,
        RefusalReason.ROUND_CLOSED,
        RefusalReason.TRANSACTION_ROLLED_BACK,
    )
)
"""The wallet knows better: the ledger will, too."""


@dataclass(slots=True)
class SweepCounts:
    """What was done since the start."""

    followed: int = 0
    swept: int = 0
    left_alone: int = 0
    failed: int = 0


class Sweeping:
    """One pass does a bounded amount of work. Any number may run at once.

    ``sources`` are those of now; ``now_ms`` is the clock, Unix milliseconds.
    """

    def __init__(
        self,
        engine: Engine,
        table: OpenRoundTable,
        *,
        sources: Callable[[], Iterable[Source]],
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._table = table
        self._sources = sources
        self._now_ms = now_ms
        self.counts = SweepCounts()

    async def run_once(self) -> bool:
        """Whether there may be more to do at once. What a partition that cannot be asked has was claimed all
        the same, and is looked at again later. Raises LedgerUnavailable.
        """
        more = await self._follow()
        return await self._sweep() or more

    async def _follow(self) -> bool:
        more = False
        for partition in await self._table.partitions_to_follow():
            more = await self._table.follow(partition, ENTRIES_AT_ONCE) or more
            self.counts.followed += 1
        return more

    async def _sweep(self) -> bool:
        now = _SINCE_1970 + timedelta(milliseconds=self._now_ms())
        sources = {source.source_id: source for source in self._sources() if source.orphan_horizon_ms}
        if not sources:
            return False
        orphaned = await self._table.claim(
            {source_id: now - _horizon(source) for source_id, source in sources.items()},
            ROUNDS_AT_ONCE,
            now=now,
            looked_before=now - _LOOK_AGAIN_AFTER,
        )
        silent = set[int]()
        for round_ in orphaned:
            for bet in await self._table.orphaned_bets(round_, _BETS_AT_ONCE):
                if round_.partition not in silent:
                    await self._give_back(round_, bet, sources[round_.source_id], silent)
        return len(orphaned) >= ROUNDS_AT_ONCE

    async def _give_back(
        self, orphaned: OrphanedRound, bet: TransactionId, source: Source, silent: set[int]
    ) -> None:
        call = Call(orphaned.player_id, source, (_step(bet, source),))
        try:
            [result] = await self._engine.transact(call, deadline=deadline_after(_TIMEOUT_S))
        except Refused as refusal:
            await self._note_refusal(orphaned, bet, refusal)
            return
        except (NotDone, OutcomeUnknown) as error:
            _log.warning("sweep_waits", partition=orphaned.partition, error=str(error))
            silent.add(orphaned.partition)
            return
        if not result.replayed:
            self.counts.swept += 1
            _log.warning(
                "bet_swept",
                player=orphaned.player_id,
                source=orphaned.source_id,
                round=orphaned.round,
                transaction=bet,
                entry_id=result.entry_id,
            )

    async def _note_refusal(self, orphaned: OrphanedRound, bet: TransactionId, refusal: Refused) -> None:
        if refusal.details.reason in _LEFT_ALONE:
            self.counts.left_alone += 1
            return
        self.counts.failed += 1
        await self._table.tell_not_swept(orphaned, bet, str(refusal.details.reason))


def _step(bet: TransactionId, source: Source) -> Step:
    return Step(
        operation=Operation.SWEEP,
        kind=TransactionKind.ROLLBACK,
        transaction_id=sweep_id(bet),
        currency=None,
        amount=None,
        reference=bet,
        metadata=json.dumps(
            {
                "stakehold.reason": "no settlement within the source's orphan horizon",
                "stakehold.orphan_horizon_ms": str(source.orphan_horizon_ms),
            }
        ),
    )


def _horizon(source: Source) -> timedelta:
    return timedelta(milliseconds=source.orphan_horizon_ms or 0)

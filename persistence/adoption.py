"""Takes partitions' stores over: at the first start, after a restart, a failover or a loss.

Each in four steps, so that nobody serves a partition that is between two epochs, and nothing is written
behind its end: the store is closed, the ledger starts the epoch, the store gets its witness, the ledger says
that the epoch is open. Any number of programs may do so at once: each waits for the others, and in the store
only the witness that was looked at is replaced.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import UUID

import structlog

from persistence.adoption_plan import (
    FoundStore,
    Keep,
    LedgerPartition,
    RecoveryMode,
    Refuse,
    TakeOver,
    plan_abandoning,
    plan_adoption,
    plan_following_restored,
)
from persistence.errors import SetupRefused, StoreUnavailable
from persistence.postgres.adopting import AdoptingLedger, Incident, IncidentKind
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.migrating import require_migrated
from persistence.postgres.repairs import RepairList
from persistence.transactions import OutboxPosition
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey, outbox_reader
from persistence.witness import CLOSED, Witness

_log = structlog.get_logger(__name__)
_Done = TypeVar("_Done")

_TIMEOUT_S = 10.0
_SETTINGS = {"idle_session_timeout": "10s", "idle_in_transaction_session_timeout": "5s"}
"""Whoever freezes in the middle of an adoption does not hold up the others for longer."""

_UNDER_REPAIR = "somebody else takes it over, or repairs it, at this time"
_CHANGED = "the store was changed by somebody else at the same time"

VOUCHER_S = 3.0
"""For how long a store that a server has reached is not replaced by another one."""


@dataclass(slots=True)
class Adopted:
    """What became of the partitions: those that can be served, and why the others cannot.

    Of the ``unreached`` among these nothing is known; of what is fenced, ``passing`` may be over in moments.
    What is ``left_alone`` is fenced too: it could be taken over, and was not to be.
    """

    witnesses: dict[int, Witness] = field(default_factory=dict)
    fenced: dict[int, str] = field(default_factory=dict)
    taken_over: dict[int, TakeOver] = field(default_factory=dict)
    left_alone: dict[int, TakeOver] = field(default_factory=dict)
    unreached: set[int] = field(default_factory=set)
    passing: set[int] = field(default_factory=set)

    def require_all(self) -> None:
        """Raises SetupRefused where a partition is fenced."""
        if self.fenced:
            count = len(self.fenced) + len(self.witnesses)
            raise SetupRefused(
                f"{len(self.fenced)} of {count} partitions are fenced. See to it that STAKEHOLD_VALKEY_URL "
                "and STAKEHOLD_POSTGRES_URL belong together, and that the store has its data: "
                f"{'; '.join(sorted(set(self.fenced.values())))}"
            )


class Adoption:
    """Takes over, one partition after the other, what has to be.

    With a ``recovery`` that is manual only what was never open is; the rest stays fenced until a person asks.
    """

    def __init__(
        self,
        ledger: AdoptingLedger,
        store: OutboxReader,
        repairs: RepairList,
        *,
        ledger_id: UUID,
        server_id: str = "",
        recovery: RecoveryMode = "automatic",
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._repairs = repairs
        self._ledger_id = ledger_id
        self._server_id = server_id
        self._recovery = recovery

    async def adopt_all(self, *, dry_run: bool = False) -> Adopted:
        """Looks at all partitions. With ``dry_run`` those that need it are fenced instead of taken over, and
        with manual recovery too, but for those that were never open.
        """
        partitions = await self._ledger.partitions()
        surveys = await self._store.survey(partition.partition for partition in partitions)
        unreached = self._store.unreached
        adopted = Adopted(fenced=dict(unreached), unreached=set(unreached), passing=set(unreached))
        for partition in partitions:
            number = partition.partition
            if number in adopted.unreached:
                continue
            plan = await plan_of(self._ledger, partition, surveys[number], self._ledger_id)
            may_take_over = not dry_run and self._may_take_over(partition)
            if not isinstance(plan, Keep) and may_take_over:
                # Somebody may be in the middle of it: then ledger and store were seen at different times.
                try:
                    plan = await self._take_over(number)
                except StoreUnavailable as error:
                    if not self._store.is_cluster:
                        raise
                    adopted.fenced[number] = str(error)
                    adopted.unreached.add(number)
                    adopted.passing.add(number)
                    continue
            elif isinstance(plan, Keep) and partition.state != "open" and not dry_run:
                await self._ledger.open(number, partition.epoch)
            _note(adopted, number, plan, was_to_be=may_take_over)
        _log_taken_over(adopted)
        return adopted

    async def abandon(self, number: int, why: str) -> TakeOver:
        """Lets a partition's history go on after the cursor, without what waits in the store.

        Raises SetupRefused where the store is not the ledger's.
        """
        plan = await self._take_over(number, abandoned=why)
        if not isinstance(plan, TakeOver):
            raise SetupRefused(f"partition {number} cannot be taken over: {plan}")
        return plan

    async def behind_stores(self) -> dict[int, str]:
        """Partitions of which the store has seen more than the ledger has, and how that shows."""
        partitions = await self._ledger.partitions()
        surveys = await self._store.survey(partition.partition for partition in partitions)
        behind: dict[int, str] = {}
        for partition in partitions:
            if survey := surveys.get(partition.partition):
                plan = await plan_of(self._ledger, partition, survey, self._ledger_id)
                if isinstance(plan, Refuse) and plan.is_ledger_older:
                    behind[partition.partition] = plan.why
        return behind

    async def close_restored(self, number: int) -> bool:
        """Lets nobody write any more to a store that has seen more than the ledger has; whether it has."""
        async with self._alone(number), self._ledger.locked(number) as partition:
            survey, plan = await self._plan(partition, "")
            if not (isinstance(plan, Refuse) and plan.is_ledger_older):
                return False
            if not survey.is_closed and not await self._store.close(number, found=survey):
                raise SetupRefused(f"partition {number}: {_CHANGED}")
            return True

    async def follow_restored(
        self,
        number: int,
        keep: Callable[[LedgerPartition, OutboxSurvey, Witness], Coroutine[object, object, None]],
    ) -> TakeOver | None:
        """Goes on with a ledger that was restored from a backup, on the store that was the newer ledger's;
        None where the ledger is not older than the store, or somebody may write to the store.

        ``keep`` saves what the ledger lacks, and nothing is changed before it has. May be repeated, whatever
        step it ended at. Raises SetupRefused where somebody changed the store meanwhile.
        """
        async with self._alone(number):
            async with self._ledger.locked(number) as partition:
                survey, plan = await self._plan(partition, "")
                if not (isinstance(plan, Refuse) and plan.is_ledger_older and survey.is_closed):
                    return None
                await self._require_that_nobody_serves_another(partition, survey.incarnation)
            witness = Witness.parse((survey.witness or "").removesuffix(CLOSED))
            await self.meanwhile(keep(partition, survey, witness))
            # Drained further meanwhile, it may be: an epoch follows the cursor as it is when it starts.
            async with self._ledger.locked(number) as partition:
                following = plan_following_restored(partition, witness, survey.incarnation)
                await self._ledger.start_epoch(number, following)
                await self._ledger.raise_incidents([_incident(number, following)])
                await self._repairs.leave_quarantine(number)
                await self._ledger.redrive(number)
            # Before anybody may drain: what stands there is kept, and no part of the history that goes on.
            await self._store.trim({number: OutboxPosition(following.witness.epoch, -1)})
            taken = await self._store.take_over(
                number,
                found=survey,
                whatever_came=True,
                witness=str(following.witness),
                void_up_to=following.follows,
            )
            if not taken:
                raise SetupRefused(f"partition {number}: {_CHANGED}")
            await self._ledger.open(number, following.witness.epoch)
            return following

    @asynccontextmanager
    async def _alone(self, number: int) -> AsyncIterator[None]:
        """Raises SetupRefused where somebody else is at it."""
        async with self._ledger.alone(number) as is_alone:
            if not is_alone:
                raise SetupRefused(f"partition {number}: {_UNDER_REPAIR}")
            yield

    async def meanwhile(self, work: Coroutine[object, object, _Done]) -> _Done:
        """Does something that takes its time between two steps of this, on other connections.

        Raises LedgerUnavailable, and ends the work, when this program may take nothing over any more.
        """
        return await self._ledger.meanwhile(work)

    async def _take_over(self, number: int, abandoned: str = "") -> Keep | TakeOver | Refuse:
        """Plans again, as somebody may have been quicker, and does it."""
        async with self._ledger.alone(number) as is_alone:
            if not is_alone:
                return Refuse(_UNDER_REPAIR, passes=True)
            found, plan = await self._start_epoch(number, abandoned)
            if not isinstance(plan, TakeOver):
                return plan
            if not abandoned:
                await self._keep_forked(number, found, plan)
            taken = await self._store.take_over(
                number,
                found=found,
                whatever_came=bool(abandoned),
                witness=str(plan.witness),
                void_up_to=plan.follows if plan.lost else None,
            )
            if not taken:
                return Refuse(_CHANGED, passes=True)
            await self._ledger.open(number, plan.witness.epoch)
        return plan

    async def _keep_forked(self, number: int, found: OutboxSurvey, plan: TakeOver) -> None:
        """Takes out of the outbox what was written there after another store had been taken over: it is kept,
        to be booked again. Nobody writes to this store, and doing it twice changes nothing.
        """
        if found.last is None or found.last <= plan.follows:
            return
        reason = "another store had been taken over before"
        async for records in self._store.slices(number, plan.follows):
            await self._repairs.salvage(number, records, incarnation=found.incarnation, reason=reason)
            await self._store.delete(number, records)

    async def _start_epoch(
        self, number: int, abandoned: str
    ) -> tuple[OutboxSurvey, Keep | TakeOver | Refuse]:
        """What the store has, and what is to be done; if it is to be taken over, nobody writes to it any
        more, and the ledger is in the new epoch. The cursor stands still meanwhile.
        """
        async with self._ledger.locked(number) as partition:
            survey, plan = await self._plan(partition, abandoned)
            if not isinstance(plan, TakeOver):
                return survey, plan
            if not abandoned and not self._may_take_over(partition):
                return survey, Refuse(plan.reason)
            if voucher := await self._voucher_against(partition, plan.witness.incarnation):
                why = f"server {voucher} reaches the store that was taken over before this one"
                return survey, Refuse(why, passes=True)
            if not survey.is_closed:
                # A primary may be another incarnation and have its writers still: where it ends is told now.
                if not await self._store.close(number, found=survey):
                    return survey, Refuse(_CHANGED, passes=True)
                first_reason = plan.reason
                survey, plan = await self._plan(partition, abandoned)
                if isinstance(plan, TakeOver) and not survey.is_closed:
                    return survey, Refuse(_CHANGED, passes=True)
                if isinstance(plan, TakeOver) and not plan.lost:
                    plan = replace(plan, reason=first_reason)
            if isinstance(plan, TakeOver):
                await self._ledger.start_epoch(number, plan)
                if plan.lost:
                    await self._ledger.raise_incidents([_incident(number, plan)])
        return survey, plan

    def _may_take_over(self, partition: LedgerPartition) -> bool:
        return self._recovery == "automatic" or partition.was_never_open

    async def _plan(
        self, partition: LedgerPartition, abandoned: str
    ) -> tuple[OutboxSurvey, Keep | TakeOver | Refuse]:
        number = partition.partition
        survey = (await self._store.survey([number]))[number]
        plan = plan_adoption(partition, _found(survey), self._ledger_id)
        if abandoned and not isinstance(plan, Refuse):
            plan = plan_abandoning(partition, plan.witness, abandoned)
        return survey, plan

    async def _require_that_nobody_serves_another(self, partition: LedgerPartition, incarnation: str) -> None:
        """What it answers would be cut off. Raises SetupRefused."""
        if voucher := await self._voucher_against(partition, incarnation):
            raise SetupRefused(
                f"partition {partition.partition}: server {voucher} reaches another store, on which the "
                "restored ledger is served. Stop it, or let it reach this one, and let all be drained first"
            )

    async def _voucher_against(self, partition: LedgerPartition, incarnation: str) -> str | None:
        """Another server for which the store of before is alive and well, and is not the one meant."""
        before = partition.witness(self._ledger_id)
        if before is None or before.incarnation == incarnation:
            return None
        return await self._ledger.other_voucher(
            partition.partition, before.incarnation, server_id=self._server_id, within_s=VOUCHER_S
        )


@asynccontextmanager
async def adoption(
    *,
    postgres_url: str,
    valkey_url: str,
    server_id: str = "",
    recovery: RecoveryMode = "automatic",
    timeout_s: float = _TIMEOUT_S,
) -> AsyncIterator[Adoption]:
    """Connected to both. Raises LedgerUnavailable, StoreUnavailable, and SetupRefused where the database is
    not migrated.
    """
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            ledger_connection(
                postgres_url,
                role=LedgerRole.WRITER,
                statement_timeout_s=timeout_s,
                application="stakehold",
                settings=_SETTINGS,
            )
        )
        store = await stack.enter_async_context(outbox_reader(valkey_url, timeout_s=timeout_s))
        await require_migrated(connection)
        ledger_id = (await read_settings(connection)).ledger_id
        yield Adoption(
            AdoptingLedger(connection),
            store,
            RepairList(connection),
            ledger_id=ledger_id,
            server_id=server_id,
            recovery=recovery,
        )


async def adopt_partitions(
    *,
    postgres_url: str,
    valkey_url: str,
    recovery: RecoveryMode = "automatic",
    timeout_s: float = _TIMEOUT_S,
) -> Adopted:
    """Opens what is new, checks what is open, and takes over what has to be and may be."""
    async with adoption(
        postgres_url=postgres_url, valkey_url=valkey_url, recovery=recovery, timeout_s=timeout_s
    ) as adopting:
        return await adopting.adopt_all()


def _found(survey: OutboxSurvey) -> FoundStore:
    return FoundStore(survey.witness, survey.last, survey.incarnation, survey.first)


async def plan_of(
    ledger: AdoptingLedger, partition: LedgerPartition, survey: OutboxSurvey, ledger_id: UUID
) -> Keep | TakeOver | Refuse:
    """The plan for a partition that was read before its store was surveyed, while others may drain it."""
    plan = plan_adoption(partition, _found(survey), ledger_id)
    if isinstance(plan, Refuse) and plan.is_ledger_older:
        [since] = await ledger.partitions([partition.partition])
        plan = plan_adoption(partition, _found(survey), ledger_id, drained_since=since.cursor)
    return plan


def _log_taken_over(adopted: Adopted) -> None:
    """A line for each reason: a store that was started again has many partitions."""
    reasons: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for number, plan in adopted.taken_over.items():
        reasons[plan.reason, bool(plan.lost)].append(number)
    for (reason, lost), partitions in reasons.items():
        log = _log.warning if lost else _log.info
        log("partitions_taken_over", partitions=partitions, reason=reason, lost=lost)


def _note(adopted: Adopted, number: int, plan: Keep | TakeOver | Refuse, *, was_to_be: bool) -> None:
    match plan:
        case Refuse(why, passes):
            adopted.fenced[number] = why
            if passes:
                adopted.passing.add(number)
        case TakeOver() if not was_to_be:
            adopted.fenced[number] = plan.reason
            adopted.left_alone[number] = plan
        case TakeOver():
            adopted.witnesses[number] = plan.witness
            adopted.taken_over[number] = plan
        case Keep():
            adopted.witnesses[number] = plan.witness


def _incident(number: int, plan: TakeOver) -> Incident:
    return Incident(
        f"memory_lost {number} {plan.witness.epoch}",
        IncidentKind.MEMORY_LOST,
        number,
        f"{plan.lost}. Epoch {plan.witness.epoch} goes on after {plan.follows}; players are loaded from the "
        "ledger.",
    )

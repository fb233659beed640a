"""What is wrong, partition by partition, and which copy is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from persistence.adoption import plan_of
from persistence.adoption_plan import Keep, LedgerPartition, Refuse, TakeOver
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection, Row, translated_errors
from persistence.postgres.queries import query
from persistence.transactions import OutboxPosition
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey

_MOST_INCIDENTS = 1000


@dataclass(frozen=True, slots=True)
class PartitionDiagnosis:
    """One partition. ``problems`` are sentences, with what to do; none where all is well.

    ``waiting`` is how many records the ledger does not have yet, ``last`` the newest in the store.
    """

    partition: int
    epoch: int
    generation: int | None
    cursor: OutboxPosition
    last: OutboxPosition | None
    waiting: int
    drainer: str | None
    fenced: bool
    quarantined: int
    salvaged: int
    right_copy: str
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The deployment. ``incidents`` has how many are open of each kind."""

    ledger_id: UUID
    partitions: Sequence[PartitionDiagnosis]
    incidents: Mapping[str, int]
    pending_repairs: int

    @property
    def is_well(self) -> bool:
        return not self.incidents and not any(partition.problems for partition in self.partitions)


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident that nobody has resolved."""

    incident_id: int
    kind: str
    partition: int
    player_id: str | None
    source_id: str | None
    transaction_id: str | None
    entry_id: str | None
    description: str


class Doctor:
    """Looks, and changes nothing. Raises LedgerUnavailable and StoreUnavailable."""

    def __init__(self, connection: Connection, store: OutboxReader, *, ledger_id: UUID) -> None:
        self._connection = connection
        self._store = store
        self._ledger_id = ledger_id

    async def diagnose(self) -> Diagnosis:
        partitions = await AdoptingLedger(self._connection).partitions()
        surveys = await self._store.survey(partition.partition for partition in partitions)
        unreached = dict(self._store.unreached)
        with translated_errors():
            facts = await self._connection.fetch(query("stopped_and_quarantined"))
            incidents = await self._connection.fetch(query("count_open_incidents"))
            pending = await self._connection.fetchval(query("count_pending_repairs"))
        return Diagnosis(
            self._ledger_id,
            [
                await self._diagnose(partition, surveys[partition.partition], row)
                if partition.partition in surveys
                else _not_reached(partition, unreached[partition.partition], row)
                for partition, row in zip(partitions, facts, strict=True)
            ],
            {row["kind"]: row["count"] for row in incidents},
            int(pending),
        )

    async def open_incidents(self) -> list[OpenIncident]:
        """The oldest, at most 1,000."""
        with translated_errors():
            rows = await self._connection.fetch(query("open_incidents"), _MOST_INCIDENTS)
        return [
            OpenIncident(**{name: row[name] for name in OpenIncident.__dataclass_fields__}) for row in rows
        ]

    async def _diagnose(
        self, partition: LedgerPartition, survey: OutboxSurvey, row: Row
    ) -> PartitionDiagnosis:
        plan = await plan_of(AdoptingLedger(self._connection), partition, survey, self._ledger_id)
        witness = partition.witness(self._ledger_id)
        problems = [*_adoption_problems(plan), *_drain_problems(row, waiting=survey.length)]
        return PartitionDiagnosis(
            partition.partition,
            partition.epoch,
            witness.generation if witness else None,
            partition.cursor,
            survey.last,
            survey.length,
            row["leased_by"] if row["is_leased"] else None,
            not isinstance(plan, Keep),
            row["quarantined"],
            row["salvaged"],
            _right_copy(plan, survey, row),
            problems,
        )


def _not_reached(partition: LedgerPartition, why: str, row: Row) -> PartitionDiagnosis:
    return PartitionDiagnosis(
        partition.partition,
        partition.epoch,
        generation=None,
        cursor=partition.cursor,
        last=None,
        waiting=0,
        drainer=row["leased_by"] if row["is_leased"] else None,
        fenced=True,
        quarantined=row["quarantined"],
        salvaged=row["salvaged"],
        right_copy="the ledger up to its cursor, the store for what waits",
        problems=[
            f"its store cannot be reached ({why}): start it, or let a replica take its place",
            *_drain_problems(row, waiting=0),
        ],
    )


def _adoption_problems(plan: Keep | TakeOver | Refuse) -> list[str]:
    match plan:
        case Keep():
            return []
        case TakeOver(lost=""):
            return [f"{plan.reason}: it waits to be taken over (`stakehold recover`)"]
        case TakeOver():
            loss = f"what was answered after {plan.follows}, and is in no other store, is lost then"
            return [f"{plan.lost}: it waits to be taken over (`stakehold recover`); {loss}"]
        case Refuse(why, is_ledger_older=True):
            return [
                (
                    f"{why}. Nothing is served. Bring back the newer ledger; where there is none, `stakehold "
                    "recover --restored-ledger` goes on with this one, and books again what the store knows"
                )
            ]
        case Refuse(why):
            return [f"{why}: nothing is served until the right store is at STAKEHOLD_VALKEY_URL"]


def _drain_problems(row: Row, *, waiting: int) -> list[str]:
    problems = []
    if row["stopped_reason"]:
        problems.append(
            f"the drain is stopped: {row['stopped_reason']}; repair what it names and run `stakehold drain "
            f"--redrive {row['partition']}`, or `stakehold recover --salvage {row['partition']}` where the "
            "store's history is wrong"
        )
    elif waiting and not row["is_leased"]:
        problems.append(f"{waiting} records wait and nobody drains them: run `stakehold drain`")
    if row["salvaged"]:
        problems.append(f"{row['salvaged']} salvaged records wait to be booked again (`stakehold recover`)")
    return problems


def _right_copy(plan: Keep | TakeOver | Refuse, survey: OutboxSurvey, row: Row) -> str:
    """Which copy is right for what they both should have."""
    if isinstance(plan, Refuse) or (isinstance(plan, TakeOver) and plan.lost):
        return "the ledger"
    if row["stopped_reason"]:
        return "the ledger up to its cursor; what waits in the store has to be looked at"
    return "both" if not survey.length else "the ledger up to its cursor, the store for what waits"

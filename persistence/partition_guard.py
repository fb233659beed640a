"""Watches over the partitions of one server: which store is theirs, and whether it still has everything.

Every second or so it looks whether each partition's store is the one that was taken over; says so to the
other servers, so that none of them puts another store in its place; and compares what this server has
answered with where the ledger is. A script that finds itself fenced asks for the same at once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from persistence.acknowledged import Acknowledged, AcknowledgedTail, Told
from persistence.adoption import VOUCHER_S, Adopted, adoption, plan_of
from persistence.adoption_plan import LedgerPartition, RecoveryMode, Refuse
from persistence.errors import DeadlineExceeded, PartitionFenced, StakeholdError
from persistence.postgres.adopting import AdoptingLedger, Incident, IncidentKind, TransactionName
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.transactions import OutboxPosition
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey, outbox_reader
from persistence.witness import Witness

_log = structlog.get_logger(__name__)

_REST_S = 0.1
"""Between two looks at all partitions, whoever asks for them."""

_PATIENCE_S = VOUCHER_S + 2.0
"""For how long a start waits for partitions that may still come: until what a server that is gone said of
them does not count any more.
"""

_WITHDRAWAL_S = 1.0


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """``recovery`` says whether a store that is not the one is taken over at once, or by an operator."""

    postgres_url: str
    valkey_url: str
    ledger_id: UUID
    server_id: str
    recovery: RecoveryMode = "automatic"
    every_s: float = 1.0
    timeout_s: float = 5.0


@dataclass(slots=True)
class GuardView:
    """What the last look found. ``outbox_records`` are those of all partitions together; of the answers that
    were let go nobody would know, should they be lost.
    """

    fenced: int = 0
    outbox_records: int = 0
    acknowledged_lost: int = 0
    answers_let_go: int = 0
    adoptions: int = 0


class PartitionGuard:
    """The witnesses to go on with. Use ``run`` as a background task.

    ``on_look`` is called after each look, with what was found in the outboxes.
    """

    def __init__(self, settings: GuardSettings, acknowledged: AcknowledgedTail) -> None:
        self._settings = settings
        self._acknowledged = acknowledged
        self._witnesses: dict[int, Witness] = {}
        self._fenced: dict[int, str] = {}
        self._passing: asyncio.Task[None] | None = None
        self._rest_until = 0.0
        self.view = GuardView()
        self.on_look: Callable[[dict[int, OutboxSurvey]], None] = lambda surveys: None

    def witness(self, partition: int) -> Witness | None:
        """None where the partition is fenced."""
        return self._witnesses.get(partition)

    async def start(self) -> Adopted:
        """Takes over what has to be; raises what stands in the way of any service.

        Waits a while for partitions whose servers or shards may be starting or ending just now.
        """
        loop = asyncio.get_running_loop()
        patience_until = loop.time() + _PATIENCE_S
        adopted = await self._adopt()
        while adopted.passing and loop.time() < patience_until:
            await asyncio.sleep(_REST_S)
            adopted = await self._adopt()
        return adopted

    async def renew(self, partition: int, refused: Witness | None, *, deadline: float) -> Witness:
        """The witness to go on with, after the store refused one.

        Raises PartitionFenced, and LedgerUnavailable or StoreUnavailable where it could not be found out.
        """
        witness = self._witnesses.get(partition)
        if witness is None and asyncio.get_running_loop().time() < self._rest_until:
            raise PartitionFenced(partition)
        if witness is None or witness == refused:
            await self._pass(deadline)
            witness = self._witnesses.get(partition)
        if witness is None or witness == refused:
            raise PartitionFenced(partition)
        return witness

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            try:
                await self._run_connected()
            except StakeholdError as error:
                _log.warning("guard_interrupted", error=str(error))
            except Exception:
                # Nobody else looks: a guard that ends would leave every loss unseen.
                _log.exception("guard_failed")
            await asyncio.sleep(self._settings.every_s)

    async def withdraw(self) -> None:
        """After the run: the stores that this server reached may be replaced at once."""
        try:
            async with (
                asyncio.timeout(_WITHDRAWAL_S),
                ledger_connection(
                    self._settings.postgres_url,
                    role=LedgerRole.WRITER,
                    statement_timeout_s=_WITHDRAWAL_S,
                    application="stakehold guard",
                ) as connection,
            ):
                await AdoptingLedger(connection).vouch(self._settings.server_id, {})
        except (StakeholdError, TimeoutError) as error:
            _log.info("vouchers_not_withdrawn", error=str(error))

    async def _run_connected(self) -> None:
        settings = self._settings
        async with (
            ledger_connection(
                settings.postgres_url,
                role=LedgerRole.WRITER,
                statement_timeout_s=settings.timeout_s,
                application="stakehold guard",
            ) as connection,
            outbox_reader(settings.valkey_url, timeout_s=settings.timeout_s) as store,
        ):
            ledger = AdoptingLedger(connection)
            await ledger.forget_old_vouchers()
            while True:
                await self._look(ledger, store)
                await asyncio.sleep(settings.every_s)

    async def _look(self, ledger: AdoptingLedger, store: OutboxReader) -> None:
        """What was found first: a store that is gone must not be vouched for any longer."""
        partitions = await ledger.partitions()
        surveys = await store.survey(partition.partition for partition in partitions)
        reached: dict[int, str] = {}
        unfit = False
        for partition in partitions:
            number = partition.partition
            if number not in surveys:
                continue  # and on its own: the others go on
            survey, witness = surveys[number], partition.witness(self._settings.ledger_id)
            if (
                partition.state == "open"
                and witness is not None
                and survey.witness == str(witness)
                and not await self._is_ledger_older(ledger, partition, survey)
            ):
                reached[number] = survey.incarnation
                unfit = unfit or survey.incarnation != witness.incarnation
                self._witnesses[number] = witness
                self._fenced.pop(number, None)
            else:
                unfit = True
        await ledger.vouch(self._settings.server_id, reached)
        await self._compare(ledger, partitions)
        self.view.outbox_records = sum(survey.length for survey in surveys.values())
        self.view.fenced = len(self._fenced)
        self.on_look(surveys)
        if unfit:
            await self._pass(asyncio.get_running_loop().time() + self._settings.timeout_s)

    async def _is_ledger_older(
        self, ledger: AdoptingLedger, partition: LedgerPartition, survey: OutboxSurvey
    ) -> bool:
        plan = await plan_of(ledger, partition, survey, self._settings.ledger_id)
        return isinstance(plan, Refuse) and plan.is_ledger_older

    async def _compare(self, ledger: AdoptingLedger, partitions: list[LedgerPartition]) -> None:
        """Looks for answers that this server gave and that are in nobody's books."""
        for partition in partitions:
            number = partition.partition
            follows = [(epoch.epoch, epoch.follows) for epoch in partition.epochs]
            lost = self._acknowledged.compare(number, partition.cursor, follows)
            if lost:
                await self._raise_lost(ledger, number, lost)
                self._acknowledged.drop(number, lost)
        self.view.answers_let_go = self._acknowledged.let_go

    async def _raise_lost(self, ledger: AdoptingLedger, partition: int, lost: list[Acknowledged]) -> None:
        """Names each answer; what the ledger has all the same, or again, is not lost. An id may have been
        answered anew by each of several stores that were lost one after the other.
        """
        answers: list[tuple[TransactionName, Told, OutboxPosition]] = [
            ((answer.player_id, answer.source_id, transaction_id), told, answer.position)
            for answer in lost
            for transaction_id, told in answer.transactions
        ]
        known = await ledger.known([name for name, _, _ in answers])
        missing = [
            _lost_incident(partition, name, told, position)
            for name, told, position in answers
            if name not in known or not _stands(told, position, *known[name])
        ]
        await ledger.raise_incidents(missing)
        self.view.acknowledged_lost += len(missing)
        if missing:
            _log.error("acknowledged_lost", partition=partition, transactions=len(missing))

    async def _pass(self, deadline: float) -> None:
        """Looks at all partitions, once for all who ask at the same time."""
        if self._passing is None:
            self._passing = asyncio.create_task(self._adopt_again(), name="adoption")
            self._passing.add_done_callback(self._passed)
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(self._passing)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the store was taken over") from None

    def _passed(self, task: "asyncio.Task[None]") -> None:
        self._passing = None
        if not task.cancelled():
            task.exception()

    async def _adopt_again(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._rest_until - loop.time()))
        try:
            await self._adopt()
        finally:
            self._rest_until = loop.time() + _REST_S

    async def _adopt(self) -> Adopted:
        settings = self._settings
        async with adoption(
            postgres_url=settings.postgres_url,
            valkey_url=settings.valkey_url,
            server_id=settings.server_id,
            recovery=settings.recovery,
            timeout_s=settings.timeout_s,
        ) as adopting:
            adopted = await adopting.adopt_all()
        for partition, why in adopted.fenced.items():
            if self._fenced.get(partition) != why:
                _log.error("partition_fenced", partition=partition, reason=why)
        kept = {number: self._witnesses[number] for number in adopted.unreached & self._witnesses.keys()}
        self._witnesses, self._fenced = kept | adopted.witnesses, adopted.fenced
        self.view.adoptions += len(adopted.taken_over)
        self.view.fenced = len(adopted.fenced)
        return adopted


def _stands(told: Told, position: OutboxPosition, recorded: Told, recorded_at: OutboxPosition) -> bool:
    """Whether the ledger has what was told in a record that is lost, and not another answer to the same id,
    given since. What it had before was told again, beside what is lost.
    """
    return recorded_at < position or told.stands_as(recorded)


def _lost_incident(partition: int, name: TransactionName, told: Told, position: OutboxPosition) -> Incident:
    player, source, transaction = name
    return Incident(
        f"acknowledged_lost {partition}-{position} {player} {source} {transaction}",
        IncidentKind.ACKNOWLEDGED_LOST,
        partition,
        f"transaction {transaction} of player {player} and source {source} was answered as {told.entry_type} "
        f"in record {partition}-{position}, and the store lost it before it was drained",
        name,
        f"{partition}-{position}",
        told,
    )

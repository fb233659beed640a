"""Where messages about cases come in.

A message is put on record, with what it leads to, before the wallet is asked; what became of it afterwards. A
process that dies in between leaves a case under way, and the next message about it, or a worker, goes on.
"""

from dataclasses import dataclass

from persistence.cashier.cases import Case, CaseKind, CaseName, CaseState, Message, NewCase, Told
from persistence.cashier.finishing import Finisher
from persistence.cashier.machines import UNDERTAKINGS, Standing, is_repeated, says_otherwise
from persistence.cashier.movements import money_id
from persistence.errors import (
    ApprovalBySamePerson,
    CaseIdConflict,
    InvalidTransition,
    OutcomeUnknown,
    RefusalDetails,
    RefusalReason,
    Refused,
)
from persistence.postgres.cases import CaseTable
from persistence.transactions import TransactionId
from persistence.valkey.engine import Engine

_ASKED_FOR = {
    CaseKind.DEPOSIT: Message.CREDIT,
    CaseKind.WITHDRAWAL: Message.OPEN,
    CaseKind.CORRECTION: Message.APPROVE,
}
"""What a refused case was refused for: repeated, it is refused again."""
_MOST_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """A case as it is now, and whether the message had been accepted before."""

    case: Case
    replayed: bool


class CashDesk:
    """Deadlines are in the event loop's time. Both methods raise LedgerUnavailable and OutcomeUnknown."""

    def __init__(self, engine: Engine, table: CaseTable, finisher: Finisher) -> None:
        self._engine = engine
        self._table = table
        self._finisher = finisher

    async def open(self, new: NewCase, *, deadline: float) -> Answer:
        """Opens a case. Raises CaseIdConflict, Refused, and OutcomeUnknown where a hold is not decided."""
        partition = self._engine.partition_of(new.player_id)
        case, is_new = await self._table.open(new, partition, deadline=deadline)
        if not case.is_of(new):
            raise CaseIdConflict(new.name.kind, new.name.case_id)
        return await self._go_on(case, Message.OPEN, replayed=not is_new, deadline=deadline)

    async def tell(self, name: CaseName, told: Told, *, deadline: float) -> Answer:
        """A message about a case. Raises CaseNotFound, InvalidTransition, ApprovalBySamePerson, and Refused
        where the wallet does not do what it comes to.
        """
        for _ in range(_MOST_ROUNDS):
            case, verdict = await self._table.tell(name, told, deadline=deadline)
            if verdict is not Standing.UNFINISHED:
                return await self._answer(case, told, verdict, deadline)
            ended = await self._finisher.finish(case, deadline=deadline)
            if ended.case.state in UNDERTAKINGS:
                if is_repeated(case, told) and not says_otherwise(case, told):
                    if ended.refusal is not None:
                        raise ended.refusal
                    return Answer(ended.case, replayed=True)
                raise OutcomeUnknown(f"{name.kind} {name.case_id} has something under way that cannot go on")
        raise OutcomeUnknown(f"{name.kind} {name.case_id} did not come to rest")

    async def _answer(self, case: Case, told: Told, verdict: CaseState | Standing, deadline: float) -> Answer:
        kind, case_id = case.name.kind, case.name.case_id
        match verdict:
            case Standing.REFUSED | Standing.CONTRADICTED | Standing.UNFINISHED:
                raise InvalidTransition(kind, case_id, state=case.state, message=told.message)
            case Standing.SAME_PERSON:
                raise ApprovalBySamePerson(kind, case_id, told.by)
            case Standing.REPEATED:
                return await self._go_on(case, told.message, replayed=True, deadline=deadline)
            case CaseState():
                return await self._go_on(case, told.message, replayed=False, deadline=deadline)

    async def _go_on(self, case: Case, message: Message, *, replayed: bool, deadline: float) -> Answer:
        """Finishes what the message has begun, as far as that can be done now."""
        ended = await self._finisher.finish(case, deadline=deadline)
        if ended.refusal is not None:
            raise ended.refusal
        case = ended.case
        if case.state in (CaseState.HOLDING, CaseState.GIVING_UP):
            raise OutcomeUnknown("it is on record, and decided as soon as the wallet can be asked")
        if case.state is CaseState.REFUSED and message is _ASKED_FOR[case.name.kind]:
            raise await self._refusal_of(case, deadline)
        return Answer(case, replayed)

    async def _refusal_of(self, case: Case, deadline: float) -> Refused:
        """The wallet's first refusal again, with the balance that it was decided on."""
        asked = (case.source_id, money_id(case))
        record = (
            await self._engine.read_player(case.player_id, transaction=asked, deadline=deadline)
        ).transaction
        reason = RefusalReason(case.refusal)
        is_same = record is not None and record.reason == reason
        details = RefusalDetails(
            reason,
            TransactionId(case.name.case_id),
            0,
            True,
            record.balance if record is not None and is_same else None,
            record.entry_id if record is not None and is_same else "",
            "",
        )
        return Refused(details, {"player_id": case.player_id, "currency_code": case.currency})

"""Carries out what a case has under way: asks the wallet, and puts on record what it did.

The wallet is asked under an id that follows from the case. So it does not matter who asks, how often, and
what was lost in between: the money moves once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from fx.currencies import CurrencyStatus
from persistence.calls import Source, StepResult
from persistence.cashier.cases import HOUSE, Case, CaseState
from persistence.cashier.machines import UNDERTAKINGS
from persistence.cashier.movements import call_of
from persistence.errors import NotDone, OutcomeUnknown, Refused
from persistence.postgres.cases import CaseTable
from persistence.transactions import OPERATOR_SOURCE, CurrencyCode, Outcome, TransactionId
from persistence.valkey.engine import Engine

_log = structlog.get_logger(__name__)

_NOT_AFTER_ALL = (CaseState.HOLDING, CaseState.APPLYING)
"""What is refused for now is refused for good: nobody expects it to happen later."""
_A_PERSON_HAS_TO_LOOK = (CaseState.CREDITING, CaseState.CHARGING_BACK)
"""Where the wallet's refusal costs somebody money."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A case as it is now; still under way where the wallet or the record could not be asked. ``refusal`` is
    the wallet's, where it refused just now, under the case's own id.
    """

    case: Case
    refusal: Refused | None = None


class Finisher:
    """``source`` and ``currency_status`` are the registry's of now; ``source`` raises SourceNotFound."""

    def __init__(
        self,
        engine: Engine,
        table: CaseTable,
        *,
        source: Callable[[str], Source],
        currency_status: Callable[[CurrencyCode], CurrencyStatus],
    ) -> None:
        self._engine = engine
        self._table = table
        self._source = source
        self._currency_status = currency_status

    def source_of(self, case: Case) -> Source:
        is_house = case.name.source_id == HOUSE
        return Source(OPERATOR_SOURCE) if is_house else self._source(case.name.source_id)

    async def finish(self, case: Case, *, deadline: float) -> Finished:
        """Goes on with a case as far as it can. What is interrupted here is gone on with by whoever comes
        next.
        """
        refusal: Refused | None = None
        while case.state in UNDERTAKINGS and (refusal is None or case.state is CaseState.GIVING_UP):
            try:
                now = await self._attempt(case, deadline)
            except (NotDone, OutcomeUnknown) as error:
                _log.warning("case_waits", kind=case.name.kind, case=case.name.case_id, error=str(error))
                break
            refusal = now.refusal or refusal
            if now.case.state is case.state:
                break
            case = now.case
        return Finished(case, refusal)

    async def _attempt(self, case: Case, deadline: float) -> Finished:
        call = call_of(case, self.source_of(case), self._currency_status(case.currency))
        try:
            [result] = await self._engine.transact(call, deadline=deadline)
        except Refused as refusal:
            return Finished(await self._refused(case, refusal, deadline), _of_case(case, refusal))
        entry_id = result.entry_id
        anomaly = "" if case.state is CaseState.GIVING_UP else _anomaly(result)
        return Finished(await self._table.finish(case, entry_id, anomaly=anomaly, deadline=deadline))

    async def _refused(self, case: Case, refusal: Refused, deadline: float) -> Case:
        reason, is_final = str(refusal.details.reason), bool(refusal.details.entry_id)
        if not is_final and case.state in _NOT_AFTER_ALL:
            return await self._table.give_up(
                case, reason, CaseState.GIVING_UP, needs_review=False, deadline=deadline
            )
        state = UNDERTAKINGS[case.state].refused
        if is_final and state is not None:
            needs_review = case.state in _A_PERSON_HAS_TO_LOOK
            return await self._table.give_up(
                case, reason, state, needs_review=needs_review, deadline=deadline
            )
        await self._table.note_refusal(case, reason, deadline=deadline)
        return case


def _of_case(case: Case, refusal: Refused) -> Refused:
    """The refusal in the words of whoever knows only the case."""
    named = replace(refusal.details, transaction_id=TransactionId(case.name.case_id))
    return Refused(named, refusal.context)


def _anomaly(result: StepResult) -> str:
    if result.outcome is Outcome.APPLIED:
        return ""
    return f"the wallet had nothing to do: {result.outcome}"

"""The cashier's cases in Postgres. Who changes one holds its row meanwhile, so that one message is first.

Deadlines are in the event loop's time.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from persistence.cashier.cases import (
    HOUSE,
    Case,
    CaseFilter,
    CaseKind,
    CaseMessage,
    CaseName,
    CasePage,
    CaseState,
    Message,
    NewCase,
    References,
    Told,
)
from persistence.cashier.machines import (
    FIRST_STATES,
    UNDERTAKINGS,
    Standing,
    decide,
    finished,
    given_up,
    moved,
)
from persistence.errors import CaseNotFound, LedgerUnavailable, OutcomeUnknown
from persistence.postgres.database import Connection, Pool, Row
from persistence.postgres.queries import query
from persistence.postgres.reading.page_tokens import read_token, write_token
from persistence.postgres.reviews import ReviewKind
from persistence.postgres.timed_transactions import timed_transaction
from persistence.transactions import CurrencyCode, PlayerId

_NEWEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many cases are under way, and since when the oldest one has been."""

    count: int
    oldest_s: float


class CaseTable:
    """The pool's connections need LedgerRole.CASHIER.

    All methods raise LedgerUnavailable where nothing was done; those that write also OutcomeUnknown, where it
    may have been committed.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open(self, new: NewCase, partition: int, *, deadline: float) -> tuple[Case, bool]:
        """The case of that name, and whether it is new."""
        state = FIRST_STATES[new.name.kind]
        async with self._writing(deadline) as connection:
            row = await connection.fetchrow(
                query("open_case"),
                *_named(new.name),
                new.player_id,
                partition,
                new.currency,
                new.amount,
                new.is_debit,
                state,
                [Message.OPEN],
                new.needs_second_approval,
                new.opened_by,
                new.reason,
                new.corrected_entry_id,
                *_columns_of(new.references),
                new.expires_time,
                state in UNDERTAKINGS,
            )
            if row is None:
                return await self._locked(connection, new.name), False
            case = _case(row)
            told = Told(Message.OPEN, new.opened_by, reason=new.reason, references=new.references)
            await _add_message(connection, case, told, before="", after=state, is_accepted=True)
            return case, True

    async def tell(self, name: CaseName, told: Told, *, deadline: float) -> tuple[Case, CaseState | Standing]:
        """The case after the message, and what it came to. Raises CaseNotFound."""
        async with self._writing(deadline) as connection:
            case = await self._unexpired(connection, name)
            verdict = decide(case, told)
            if isinstance(verdict, CaseState):
                before, case = case, moved(case, told, verdict)
                case = await _save(connection, case)
                await _add_message(
                    connection, case, told, before=before.state, after=case.state, is_accepted=True
                )
            elif verdict in (Standing.REFUSED, Standing.CONTRADICTED, Standing.SAME_PERSON):
                await _add_message(
                    connection, case, told, before=case.state, after=case.state, is_accepted=False
                )
            if verdict is Standing.CONTRADICTED:
                await _raise_contradiction(connection, case, told)
            return case, verdict

    async def finish(self, case: Case, entry_id: str, *, anomaly: str, deadline: float) -> Case:
        """The wallet has done what was under way; what the case is now, whoever was first to note it.

        An ``anomaly`` is raised for review.
        """
        async with self._writing(deadline) as connection:
            current = await self._locked(connection, case.name)
            if (current.state, current.attempt) != (case.state, case.attempt):
                return current
            done = await _save(connection, finished(current, entry_id))
            await _add_end(connection, current, done, {"entry_id": entry_id})
            if anomaly:
                await _raise_stuck(connection, done, entry_id, anomaly)
            return done

    async def give_up(
        self, case: Case, refusal: str, state: CaseState, *, needs_review: bool, deadline: float
    ) -> Case:
        """The wallet has refused for good what was under way."""
        async with self._writing(deadline) as connection:
            current = await self._locked(connection, case.name)
            if (current.state, current.attempt) != (case.state, case.attempt):
                return current
            ended = await _save(connection, given_up(current, refusal, state))
            await _add_end(connection, current, ended, {"refusal": refusal})
            if needs_review:
                await _raise_stuck(connection, current, "", f"the wallet refuses it: {refusal}")
            return ended

    async def note_refusal(self, case: Case, refusal: str, *, deadline: float) -> None:
        """It stays under way, and a person should look why."""
        async with self._writing(deadline) as connection:
            current = await self._locked(connection, case.name)
            if (current.state, current.attempt) == (case.state, case.attempt):
                await connection.execute(query("note_case_refusal"), current.number, refusal)
                await _raise_stuck(connection, current, "", f"the wallet does not do it: {refusal}")

    async def claim_due(self, most: int, *, deadline: float) -> list[Case]:
        """Cases under way that nobody has gone on with in time."""
        async with self._writing(deadline) as connection:
            await connection.execute(query("look_up_by_index"))
            return [_case(row) for row in await connection.fetch(query("claim_due_cases"), most)]

    async def expire(self, most: int, *, deadline: float) -> int:
        """Expires announced deposits whose time is over; how many."""
        async with self._writing(deadline) as connection:
            await connection.execute(query("look_up_by_index"))
            return len(await connection.fetch(query("expire_deposits"), most, Message.EXPIRE, HOUSE))

    async def waiting(self, *, deadline: float) -> Waiting:
        async with timed_transaction(self._pool, deadline) as connection:
            row = await connection.fetchrow(query("count_cases_under_way"))
            assert row is not None
            return Waiting(row["waiting"], row["oldest_s"])

    async def read(self, name: CaseName, *, deadline: float) -> tuple[Case, Sequence[CaseMessage]]:
        """A case, and all that was said about it, oldest first. Raises CaseNotFound."""
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            row = await connection.fetchrow(query("read_case"), *_named(name))
            if row is None:
                raise CaseNotFound(name.kind, name.case_id)
            case = _case(row)
            said = await connection.fetch(query("case_messages"), case.number)
            return case, [_message(row) for row in said]

    async def list(self, wanted: CaseFilter, *, page_size: int, page_token: str, deadline: float) -> CasePage:
        """A page. Raises PageTokenInvalid."""
        scope = ("cases", wanted)
        [before] = read_token(page_token, scope, count=1) if page_token else (_NEWEST,)
        states = [str(state) for state in wanted.states]
        arguments = [wanted.kind, wanted.source_id, states, before, page_size + 1]
        async with timed_transaction(self._pool, deadline) as connection:
            if wanted.player_id:
                rows = await connection.fetch(query("list_cases_of_player"), *arguments, wanted.player_id)
            else:
                rows = await connection.fetch(query("list_cases"), *arguments)
        cases = [_case(row) for row in rows[:page_size]]
        return CasePage(cases, write_token([cases[-1].number], scope) if len(rows) > page_size else "")

    async def _locked(self, connection: Connection, name: CaseName) -> Case:
        row = await connection.fetchrow(query("lock_case"), *_named(name))
        if row is None:
            raise CaseNotFound(name.kind, name.case_id)
        return _case(row)

    async def _unexpired(self, connection: Connection, name: CaseName) -> Case:
        """Locked, and expired where its time is over: not only once a worker comes by."""
        row = await connection.fetchrow(query("lock_case"), *_named(name))
        if row is None:
            raise CaseNotFound(name.kind, name.case_id)
        case = _case(row)
        if not row["has_expired"]:
            return case
        told = Told(Message.EXPIRE, HOUSE)
        expired = await _save(connection, moved(case, told, CaseState.EXPIRED))
        await _add_message(
            connection, expired, told, before=case.state, after=expired.state, is_accepted=True
        )
        return expired

    @asynccontextmanager
    async def _writing(self, deadline: float) -> AsyncIterator[Connection]:
        is_done = False
        try:
            async with timed_transaction(self._pool, deadline) as connection:
                yield connection
                is_done = True
        except LedgerUnavailable as error:
            if is_done:
                raise OutcomeUnknown("the cashier's record may or may not be committed") from error
            raise


async def _save(connection: Connection, case: Case) -> Case:
    row = await connection.fetchrow(
        query("save_case"),
        case.number,
        case.state,
        list(case.accepted),
        case.attempt,
        case.first_approver,
        case.second_approver,
        case.ending_reason,
        *_columns_of(case.references),
        case.refusal,
        case.opening_entry_id,
        case.closing_entry_id,
        case.state in UNDERTAKINGS,
    )
    assert row is not None, "nobody removes cases"
    return _case(row)


async def _add_message(
    connection: Connection, case: Case, told: Told, *, before: str, after: str, is_accepted: bool
) -> None:
    details = json.dumps(told.details())
    arguments = (told.message, told.by, is_accepted, before, after, details)
    await connection.execute(query("add_case_message"), case.number, *arguments)


async def _add_end(connection: Connection, before: Case, after: Case, details: dict[str, str]) -> None:
    arguments = (Message.FINISH, HOUSE, True, before.state, after.state, json.dumps(details))
    await connection.execute(query("add_case_message"), after.number, *arguments)


async def _raise_contradiction(connection: Connection, case: Case, told: Told) -> None:
    """Once for each state and message."""
    said = ", ".join(f"{name} {value}" for name, value in told.details().items())
    description = f'{_title(case)} is {case.state}, and {told.by} says "{told.message}"'
    key = f"{_key(case)} {case.state} {told.message}"
    kind = ReviewKind.CASHIER_CONTRADICTION
    await _raise(connection, kind, key, case, "", f"{description} ({said})" if said else description)


async def _raise_stuck(connection: Connection, case: Case, entry_id: str, why: str) -> None:
    key = f"{_key(case)} {case.state} {case.attempt} stuck"
    await _raise(
        connection, ReviewKind.CASHIER_STUCK, key, case, entry_id, f"{_title(case)}, {case.state}: {why}"
    )


async def _raise(
    connection: Connection, kind: ReviewKind, key: str, case: Case, entry_id: str, description: str
) -> None:
    named = (case.partition, case.player_id, case.source_id, case.name.case_id)
    await connection.execute(
        query("raise_cashier_review"), f"{kind} {key}", kind, *named, entry_id, description
    )


def _key(case: Case) -> str:
    return f"{case.name.kind} {case.name.source_id} {case.name.case_id}"


def _title(case: Case) -> str:
    money = f"{case.amount} minor units of {case.currency}"
    return f"{case.name.kind} {case.name.case_id} of {money}"


def _named(name: CaseName) -> tuple[str, str, str]:
    return name.kind, name.source_id, name.case_id


def _columns_of(references: References) -> tuple[str, str, str, str, str]:
    return (
        references.provider,
        references.provider_reference,
        references.chain,
        references.address,
        references.tx_hash,
    )


def _case(row: Row) -> Case:
    return Case(
        number=row["case_number"],
        name=CaseName(CaseKind(row["kind"]), row["source_id"], row["case_id"]),
        player_id=PlayerId(row["player_id"]),
        partition=row["partition"],
        currency=CurrencyCode(row["currency"]),
        amount=int(row["amount"]),
        is_debit=row["is_debit"],
        state=CaseState(row["state"]),
        accepted=tuple(map(Message, row["accepted"])),
        attempt=row["attempt"],
        needs_second_approval=row["needs_second_approval"],
        opened_by=row["opened_by"],
        first_approver=row["first_approver"],
        second_approver=row["second_approver"],
        reason=row["reason"],
        ending_reason=row["ending_reason"],
        corrected_entry_id=row["corrected_entry_id"],
        references=References(
            row["provider"], row["provider_reference"], row["chain"], row["address"], row["tx_hash"]
        ),
        refusal=row["refusal"],
        opening_entry_id=row["opening_entry_id"],
        closing_entry_id=row["closing_entry_id"],
        expires_time=row["expires_time"],
        tries=row["tries"],
        created_time=row["created_time"],
        changed_time=row["changed_time"],
    )


def _message(row: Row) -> CaseMessage:
    return CaseMessage(
        row["message_number"],
        Message(row["message"]),
        row["told_by"],
        row["is_accepted"],
        row["state_before"],
        row["state_after"],
        json.loads(row["details"]),
        row["told_time"],
    )

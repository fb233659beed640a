"""What a case has under way is finished by whoever comes next, whatever was lost on the way, and once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from fx.currencies import CurrencyStatus
from persistence.calls import Call, Source, StepResult
from persistence.cashier.cases import CaseKind, CaseName, CaseState, Message, NewCase, Told
from persistence.cashier.desk import CashDesk
from persistence.cashier.finishing import Finisher
from persistence.cashier.working_off import WorkingOff
from persistence.errors import LedgerUnavailable, OutcomeUnknown, StoreUnavailable
from persistence.postgres.cases import CaseTable
from persistence.postgres.database import LedgerRole, Pool, ledger_pool
from persistence.transactions import CurrencyCode, PlayerId, SourceId, TransactionKind
from persistence.valkey.engine import deadline_after
from service.embedded import EmbeddedValkey
from tests.drained_ledger import EUR, TIMEOUT_S, Wallets, movement, wallets

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADA = PlayerId("ada")


class ForgottenRecord(CaseTable):
    """Dies before it records what became of the money, as often as it is told to."""

    deaths = 0

    async def finish(self, *arguments: Any, **named: Any) -> Any:
        if self.deaths:
            self.deaths -= 1
            raise LedgerUnavailable("died")
        return await super().finish(*arguments, **named)


@dataclass(slots=True)
class Interrupted:
    """The engine, which is not reached, or whose answer is lost, as often as it is told to."""

    engine: Any
    unreached: int = 0
    unanswered: int = 0
    asked: list[Call] = field(default_factory=list)

    async def transact(self, call: Call, *, deadline: float) -> tuple[StepResult, ...]:
        self.asked.append(call)
        if self.unreached:
            self.unreached -= 1
            raise StoreUnavailable("gone")
        results: tuple[StepResult, ...] = await self.engine.transact(call, deadline=deadline)
        if self.unanswered:
            self.unanswered -= 1
            raise OutcomeUnknown("lost")
        return results

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


@dataclass(slots=True)
class House:
    """Ada with 100 cents, and the cashier."""

    money: Wallets
    engine: Interrupted
    table: ForgottenRecord
    desk: CashDesk
    working: WorkingOff
    sql: Pool

    async def open(self, kind: CaseKind, case_id: str, amount: int = 60, **changes: Any) -> CaseState:
        name = _name(kind, case_id)
        new = NewCase(name, ADA, EUR, amount, opened_by="alice", **changes)
        return (await self.desk.open(new, deadline=deadline_after(TIMEOUT_S))).case.state

    async def tell(self, kind: CaseKind, case_id: str, message: Message, by: str = "bob") -> CaseState:
        told = Told(message, by)
        answer = await self.desk.tell(_name(kind, case_id), told, deadline=deadline_after(TIMEOUT_S))
        return answer.case.state

    async def cash(self) -> tuple[int, int]:
        """And what is held."""
        view = await self.money.engine.read_player(ADA, deadline=deadline_after(TIMEOUT_S))
        return view.balances[0].buckets.cash, view.balances[0].buckets.held

    async def state(self, kind: CaseKind, case_id: str) -> CaseState:
        case, _ = await self.table.read(_name(kind, case_id), deadline=deadline_after(TIMEOUT_S))
        return case.state

    async def work(self) -> None:
        """One pass, at a time when all that is under way is due."""
        await self.make_due()
        await self.working.run_once()

    async def make_due(self) -> None:
        await self.sql.execute(
            "UPDATE cashier.cases SET due_time = clock_timestamp() WHERE due_time IS NOT NULL"
        )


def _name(kind: CaseKind, case_id: str) -> CaseName:
    return CaseName(kind, "stakehold" if kind is CaseKind.CORRECTION else "payments", case_id)


@pytest_asyncio.fixture(loop_scope="session")
async def house(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        money = await stack.enter_async_context(wallets(private_valkey.url, ledger_dsn))
        pool = await stack.enter_async_context(
            ledger_pool(ledger_dsn, role=LedgerRole.CASHIER, size=4, statement_timeout_s=TIMEOUT_S)
        )
        await money.open("ada")
        await money.move("ada", movement(TransactionKind.DEPOSIT, "start", 100), source="starts")
        engine: Any = Interrupted(money.engine)
        table = ForgottenRecord(pool)
        finisher = Finisher(
            engine,
            table,
            source=lambda source_id: Source(SourceId(source_id)),
            currency_status=lambda _: CurrencyStatus.ENABLED,
        )
        yield House(
            money, engine, table, CashDesk(engine, table, finisher), WorkingOff(table, finisher), pool
        )


D, W, C = CaseKind.DEPOSIT, CaseKind.WITHDRAWAL, CaseKind.CORRECTION
M, S = Message, CaseState

# What leads up to it, the message, under way, done, and cash and held afterwards.
WAYS = [
    (D, [], M.CREDIT, S.CREDITING, S.CREDITED, (160, 0)),
    (D, [M.CREDIT], M.CHARGE_BACK, S.CHARGING_BACK, S.CHARGED_BACK, (100, 0)),
    (W, [M.APPROVE, M.SENT], M.PAID, S.PAYING, S.PAID, (40, 0)),
    (W, [M.APPROVE, M.SENT], M.FAIL, S.FAILING, S.FAILED, (100, 0)),
    (W, [], M.REJECT, S.REJECTING, S.REJECTED, (100, 0)),
    (W, [M.APPROVE], M.CANCEL, S.CANCELLING, S.CANCELLED, (100, 0)),
    (C, [], M.APPROVE, S.APPLYING, S.APPLIED, (160, 0)),
]
Way = tuple[CaseKind, list[Message], Message, CaseState, CaseState, tuple[int, int]]


def interrupt(house: House, where: str, times: int) -> None:
    match where:
        case "before the wallet":
            house.engine.unreached = times
        case "after the wallet":
            house.engine.unanswered = times
        case "before the record":
            house.table.deaths = times
        case _:
            raise ValueError(where)


@pytest.mark.parametrize("where", ["before the wallet", "after the wallet", "before the record"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way[3]))
async def test_what_was_interrupted_is_shown_as_under_way_and_finished_once_by_a_worker(
    house: House, way: Way, where: str
) -> None:
    kind, before, message, under_way, done, after = way
    await house.open(kind, "c1")
    for said in before:
        await house.tell(kind, "c1", said)

    interrupt(house, where, 2)
    first = await house.tell(kind, "c1", message)
    again = await house.tell(kind, "c1", message)
    shown = await house.state(kind, "c1")
    await house.work()
    await house.work()

    assert [first, again, shown] == [under_way] * 3
    assert await house.state(kind, "c1") == done
    assert await house.cash() == after
    assert await house.tell(kind, "c1", message) == done
    assert await house.cash() == after
    ids = {call.steps[0].transaction_id for call in house.engine.asked[-3:]}
    assert len(ids) == 1


@pytest.mark.parametrize("where", ["before the wallet", "after the wallet", "before the record"])
async def test_a_withdrawal_whose_hold_is_interrupted_is_held_once_by_a_worker(
    house: House, where: str
) -> None:
    interrupt(house, where, 2)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await house.open(W, "c1")
    assert await house.state(W, "c1") == S.HOLDING

    await house.work()

    assert await house.open(W, "c1") == S.REQUESTED
    assert await house.cash() == (40, 60)


@pytest.mark.parametrize("where", ["before the wallet", "after the wallet", "before the record"])
async def test_the_next_message_finishes_what_was_interrupted(house: House, where: str) -> None:
    await house.open(D, "c1")
    interrupt(house, where, 1)
    assert await house.tell(D, "c1", M.CREDIT) == S.CREDITING

    assert await house.tell(D, "c1", M.CHARGE_BACK) == S.CHARGED_BACK
    assert await house.cash() == (100, 0)


async def test_a_slow_process_that_wakes_after_another_one_has_finished_changes_nothing(house: House) -> None:
    await house.open(D, "c1")
    house.engine.unreached = 1
    await house.tell(D, "c1", M.CREDIT)
    slow, _ = await house.table.read(_name(D, "c1"), deadline=deadline_after(TIMEOUT_S))
    await house.work()
    await house.tell(D, "c1", M.CHARGE_BACK)

    woken = await house.table.finish(slow, "0-0-0-0", anomaly="", deadline=deadline_after(TIMEOUT_S))

    assert woken.state == S.CHARGED_BACK
    assert await house.state(D, "c1") == S.CHARGED_BACK


async def test_workers_at_once_share_what_is_under_way(house: House) -> None:
    for number in range(30):
        await house.open(D, f"c{number}", 1)
    house.engine.unreached = 30
    await asyncio.gather(*(house.tell(D, f"c{number}", M.CREDIT) for number in range(30)))
    await house.sql.execute(
        "UPDATE cashier.cases SET due_time = clock_timestamp() WHERE due_time IS NOT NULL"
    )
    asked = len(house.engine.asked)

    await asyncio.gather(*(house.working.run_once() for _ in range(4)))

    assert len(house.engine.asked) - asked == 30
    assert await house.cash() == (130, 0)


async def test_a_withdrawal_refused_for_now_is_given_up_so_that_it_is_never_held(house: House) -> None:
    usd = CurrencyCode("USD")
    new = NewCase(_name(W, "c1"), ADA, usd, 60, opened_by="alice")
    with pytest.raises(Exception, match="WALLET_NOT_FOUND"):
        await house.desk.open(new, deadline=deadline_after(TIMEOUT_S))
    late = house.engine.asked[0]

    await house.money.open("ada", usd)
    await house.money.move("ada", movement(TransactionKind.DEPOSIT, "usd", 100, usd), source="starts")

    with pytest.raises(Exception, match="TRANSACTION_ROLLED_BACK"):
        await house.money.engine.transact(late, deadline=deadline_after(TIMEOUT_S))


async def test_a_withdrawal_is_not_held_by_one_while_another_one_gives_it_up(house: House) -> None:
    """Two ask the wallet at once, and it is opened between them."""
    usd = CurrencyCode("USD")
    new = NewCase(_name(W, "c1"), ADA, usd, 60, opened_by="alice")
    house.engine.unreached = 1
    with pytest.raises(OutcomeUnknown):
        await house.desk.open(new, deadline=deadline_after(TIMEOUT_S))
    holding, _ = await house.table.read(_name(W, "c1"), deadline=deadline_after(TIMEOUT_S))
    given_up = await house.table.give_up(
        holding,
        "WALLET_NOT_FOUND",
        S.GIVING_UP,
        needs_review=False,
        deadline=deadline_after(TIMEOUT_S),
    )
    await house.money.open("ada", usd)
    await house.money.move("ada", movement(TransactionKind.DEPOSIT, "usd", 100, usd), source="starts")
    [held] = await house.money.engine.transact(house.engine.asked[0], deadline=deadline_after(TIMEOUT_S))

    woken = await house.table.finish(holding, held.entry_id, anomaly="", deadline=deadline_after(TIMEOUT_S))
    await house.work()

    assert (given_up.state, woken.state) == (S.GIVING_UP, S.GIVING_UP)
    assert await house.state(W, "c1") == S.REFUSED
    view = await house.money.engine.read_player(ADA, deadline=deadline_after(TIMEOUT_S))
    [dollars] = [balance.buckets for balance in view.balances if balance.currency == usd]
    assert (dollars.cash, dollars.held) == (100, 0)


async def test_what_was_said_cannot_be_changed_even_by_the_owner(house: House, ledger_dsn: str) -> None:
    await house.open(D, "c1")
    owner = await asyncpg.connect(ledger_dsn)
    try:
        for statement in (
            "UPDATE cashier.messages SET told_by = 'nobody'",
            "DELETE FROM cashier.messages",
            "DELETE FROM cashier.cases",
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await owner.execute(statement)
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute("UPDATE cashier.cases SET state = 'credited'")
    finally:
        await owner.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await house.sql.execute("UPDATE cashier.cases SET amount = 1")

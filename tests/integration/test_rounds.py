"""Rounds, open rounds and sessions, wherever they are remembered."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.calls import Step, TransactionState
from persistence.errors import LedgerUnavailable, Overloaded, Refused, RoundNotFound
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.open_rounds import OpenRoundTable
from persistence.postgres.reading.rounds import BEFORE_ALL_ROUNDS, RoundLedger
from persistence.rounds import Rounds, RoundTotals, RoundView, Session
from persistence.transactions import PlayerId, SourceId, TransactionKind
from persistence.valkey import hot_memory
from persistence.valkey.engine import deadline_after
from service.embedded import EmbeddedValkey
from tests.drained_ledger import EUR, TIMEOUT_S, Wallets, close_round, movement, rollback, wallets
from tests.forgetful import Oblivion, oblivion
from tests.ledgers import Ledgers
from tests.slip_steps import hold, place, settle, void

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADA, GAMES = PlayerId("ada"), SourceId("games")


@dataclass(slots=True)
class Parlour:
    """Wallets, and whoever reads rounds and lets the store forget them."""

    money: Wallets
    rounds: Rounds
    oblivion: Oblivion
    table: OpenRoundTable

    async def bet(self, name: str, round_: str, *, amount: int = 10, player: str = ADA) -> None:
        await self.money.move(player, movement(TransactionKind.BET, name, amount, round_id=round_, game="g"))

    async def win(self, name: str, round_: str, *, amount: int = 10, closes: bool = False) -> None:
        step = movement(TransactionKind.WIN, name, amount, round_id=round_, game="g")
        await self.money.move(ADA, replace(step, closes_round=closes))

    async def close(self, name: str, round_: str) -> None:
        await self.money.move(ADA, close_round(name, round_, "g"))

    async def look(self, round_: str, *, game: str = "g", source: str = "games") -> RoundView:
        return await self.rounds.round(
            ADA, SourceId(source), game, round_, deadline=deadline_after(TIMEOUT_S)
        )

    async def open(self, *, source: str = "", page: int = 100) -> list[str]:
        """The names of all open rounds, page by page."""
        names: list[str] = []
        after = BEFORE_ALL_ROUNDS
        while True:
            found = await self.rounds.open_rounds(
                ADA, source, after=after, most=page, deadline=deadline_after(TIMEOUT_S)
            )
            assert len(found.rounds) <= page
            names += [round_.round for round_ in found.rounds]
            if found.next_after is None:
                return names
            after = found.next_after

    async def resume(
        self,
        *,
        rounds: int = 50,
        slips: int = 50,
        transactions: int = 50,
        source: str = "",
        recent_only: bool = False,
    ) -> Session:
        return await self.rounds.resume(
            ADA,
            source,
            most_rounds=rounds,
            most_slips=slips,
            most_transactions=transactions,
            recent_only=recent_only,
            deadline=deadline_after(TIMEOUT_S),
        )

    async def follow(self) -> None:
        """Takes all that is drained into the table of open rounds."""
        for partition in await self.table.partitions_to_follow():
            while await self.table.follow(partition, 3):
                pass


@asynccontextmanager
async def parlour(valkey_url: str, ledger_dsn: str) -> AsyncIterator[Parlour]:
    async with (
        wallets(valkey_url, ledger_dsn) as money,
        oblivion(valkey_url, ledger_dsn) as forgetful,
        ledger_pool(ledger_dsn, role=LedgerRole.READER, size=2, statement_timeout_s=TIMEOUT_S) as reading,
        ledger_pool(ledger_dsn, role=LedgerRole.WRITER, size=2, statement_timeout_s=TIMEOUT_S) as writing,
    ):
        rounds = Rounds(money.engine, RoundLedger(reading))
        yield Parlour(money, rounds, forgetful, OpenRoundTable(writing))


@pytest_asyncio.fixture(loop_scope="session")
async def house(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Parlour]:
    """Ada with 10 euros."""
    async with parlour(private_valkey.url, ledger_dsn) as made:
        await made.money.open(ADA, credit_line=0)
        await made.money.move(ADA, movement(TransactionKind.DEPOSIT, "start", 1000), source="cashier")
        yield made


Forget = Callable[[], Awaitable[None]]


@pytest.fixture(params=["nothing", "ids and rounds", "the player", "the store", "ids, and the table follows"])
def forget(request: pytest.FixtureRequest, house: Parlour) -> Forget:
    """What is done to the store's memory once all is drained."""

    async def forget_it() -> None:
        await house.money.drain()
        match request.param:
            case "ids and rounds":
                await house.oblivion.forget_fields([ADA])
            case "the player":
                await house.oblivion.forget_players([ADA])
            case "the store":
                await lose_memory_of(house)
            case "ids, and the table follows":
                await house.follow()
                await house.oblivion.forget_fields([ADA])
            case _:
                pass

    return forget_it


async def lose_memory_of(house: Parlour) -> None:
    """The store forgets all players, as if it had come back empty of them."""
    async with Redis.from_url(house.money.valkey_url) as store:
        async for key in store.scan_iter(match="*:ada"):
            await store.delete(key)


async def test_a_round_tells_what_was_moved_in_it(house: Parlour, forget: Forget) -> None:
    await house.bet("b1", "r1")
    await house.bet("b2", "r1", amount=20)
    await house.bet("b3", "r1", amount=40)
    await house.money.move(ADA, rollback("x3", "b3"))
    await house.money.move(ADA, replace(movement(TransactionKind.WIN, "w1", 25), reference="b1"))
    await house.close("c1", "r1")
    await house.win("w2", "r1", amount=5)
    await house.money.refused(ADA, movement(TransactionKind.BET, "b4", 1, round_id="r1", game="g"))
    await forget()

    view = await house.look("r1")

    assert view.record.is_closed
    assert (view.record.bets, view.record.live_bets, view.record.wins) == (3, 2, 2)
    assert view.totals == [
        RoundTotals(EUR, bet_count=2, staked=30, win_count=2, won=30, late_count=1, late=5, net=0)
    ]
    assert (view.rollback_count, view.unsettled_bet_count) == (1, 0)
    assert [played.record.transaction_id for played in view.transactions] == [
        "b4", "w2", "c1", "w1", "x3", "b3", "b2", "b1",
    ]  # fmt: skip
    states = {str(played.record.transaction_id): played.record.state for played in view.transactions}
    assert states["b4"] is TransactionState.REFUSED
    assert states["b3"] is TransactionState.ROLLED_BACK
    assert states["c1"] is TransactionState.ROUND_CLOSED
    closing = next(played for played in view.transactions if played.record.transaction_id == "c1")
    assert view.record.closed_ms == closing.record.booked_ms


async def test_a_round_goes_on_wherever_it_was_remembered(house: Parlour, forget: Forget) -> None:
    await house.bet("b1", "r1")
    await house.bet("b2", "r2")
    await forget()
    assert await house.open() == ["r1", "r2"]

    await house.win("w1", "r1")
    await house.close("c1", "r1")
    await forget()

    assert await house.open() == ["r2"]
    view = await house.look("r1")
    assert (view.record.is_closed, view.record.wins) == (True, 1)
    with pytest.raises(Refused):
        await house.bet("b3", "r1")
    await forget()
    assert [played.record.transaction_id for played in (await house.look("r1")).transactions] == [
        "b3", "c1", "w1", "b1",
    ]  # fmt: skip


async def test_a_round_that_nobody_named_is_not_found(house: Parlour, forget: Forget) -> None:
    await house.bet("b1", "r1")
    await forget()

    for round_, game, source in (("r2", "g", "games"), ("r1", "h", "games"), ("r1", "g", "cashier")):
        with pytest.raises(RoundNotFound):
            await house.look(round_, game=game, source=source)


async def test_a_round_that_was_closed_before_it_was_played_is_known(house: Parlour, forget: Forget) -> None:
    await house.close("c1", "r1")
    await forget()

    view = await house.look("r1")

    assert (view.record.is_closed, view.record.bets, view.totals) == (True, 0, [])
    with pytest.raises(Refused):
        await house.bet("b1", "r1")


@pytest.mark.parametrize("page", [2, 100])
async def test_open_rounds_are_listed_once_each(house: Parlour, forget: Forget, page: int) -> None:
    for number in range(9):
        await house.bet(f"b{number}", f"r{number}")
    await house.close("c2", "r2")
    await house.money.move(ADA, rollback("x4", "b4"))
    await house.win("w6", "r6", closes=True)
    await house.win("w7", "r7")
    await forget()
    await house.bet("b1b", "r1")  # puts the round back, where it was forgotten
    await house.bet("b9", "r9")
    await house.close("c8", "r8")

    assert await house.open(page=page) == ["r0", "r1", "r3", "r5", "r7", "r9"]


async def test_open_rounds_are_of_one_source_where_one_is_named(house: Parlour, forget: Forget) -> None:
    await house.bet("b1", "r1")
    await house.money.move(
        ADA, movement(TransactionKind.BET, "b1", 1, round_id="r2", game="g"), source="slots"
    )
    await forget()

    assert await house.open(source="games") == ["r1"]
    assert await house.open(source="slots") == ["r2"]
    assert await house.open() == ["r1", "r2"]
    session = await house.resume(source="slots")
    assert [round_.round for round_ in session.open_rounds] == ["r2"]
    assert [played.source for played in session.transactions] == ["slots"]


async def test_a_session_has_balances_rounds_and_transactions_newest_first(
    house: Parlour, forget: Forget
) -> None:
    for number in range(4):
        await house.bet(f"b{number}", f"r{number}")
    await forget()
    await house.bet("b1b", "r1")

    session = await house.resume(rounds=3, transactions=3)

    [balance] = session.balances
    assert balance.buckets.cash == 950
    assert session.open_rounds[0].round == "r1"
    assert {round_.round for round_ in session.open_rounds} <= {"r0", "r1", "r2", "r3"}
    assert session.more_open_rounds
    assert [played.record.transaction_id for played in session.transactions] == ["b1b", "b3", "b2"]
    whole = await house.resume()
    assert not whole.more_open_rounds
    assert {round_.round for round_ in whole.open_rounds} == {"r0", "r1", "r2", "r3"}
    assert [played.record.transaction_id for played in whole.transactions] == [
        "b1b", "b3", "b2", "b1", "b0", "start",
    ]  # fmt: skip


async def test_what_was_recalled_does_not_hide_what_is_newer_and_forgotten(house: Parlour) -> None:
    for number in range(6):
        await house.bet(f"b{number}", f"r{number}")
    await house.money.drain()
    await house.oblivion.forget_fields([ADA])
    for number in range(3):  # replays of old ones
        await house.bet(f"b{number}", f"r{number}")

    session = await house.resume(transactions=3)

    assert [played.record.transaction_id for played in session.transactions] == ["b5", "b4", "b3"]


async def test_the_ledger_tells_of_no_later_moment_than_the_store(house: Parlour) -> None:
    """Between the two looks somebody may play on, and be drained."""
    await house.bet("b1", "r1")
    await house.bet("b2", "r2")
    await house.money.drain()
    await house.oblivion.forget_fields([ADA])
    before = await house.money.engine.read_memory(ADA, deadline=deadline_after(TIMEOUT_S))
    await house.win("w1", "r1")
    await house.close("c1", "r1")
    await house.bet("b3", "r3")
    await house.money.drain()

    async with ledger_pool(
        house.money.ledger_dsn, role=LedgerRole.READER, size=1, statement_timeout_s=TIMEOUT_S
    ) as pool:
        ledger = RoundLedger(pool)
        told = await ledger.round(ADA, ("games", "g", "r1"), before.until)
        newest = await ledger.newest_transactions(ADA, source="games", most=2, until=before.until)
        partition = house.money.engine.partition_of(ADA)
        listed = await ledger.open_by_use(
            ADA, source="", without=(), most=9, partition=partition, until=before.until
        )

    [(_, text)] = told.rounds.items()
    assert text.startswith("open")
    assert set(told.ids) == {"games\x1fb1"}
    assert set(newest.ids) == {"games\x1fb1", "games\x1fb2"}
    assert {name.rpartition("\x1f")[2] for name in listed.texts.rounds} == {"r1", "r2"}


async def test_a_session_of_what_is_recent_needs_no_ledger(house: Parlour) -> None:
    await house.bet("b1", "r1")
    await house.money.drain()
    await house.oblivion.forget_fields([ADA])
    await house.bet("b2", "r2")

    session = await house.resume(recent_only=True)

    assert session.older_unknown
    assert [played.record.transaction_id for played in session.transactions] == ["b2"]
    assert [round_.round for round_ in session.open_rounds] == ["r2"]


async def test_without_its_ledger_nothing_is_told_that_may_be_less_than_all(house: Parlour) -> None:
    await house.bet("b1", "r1")
    await house.money.drain()
    rounds = Rounds(house.money.engine, AwayLedger())  # type: ignore[arg-type]
    blind = replace(house, rounds=rounds)
    assert await blind.open() == ["r1"]  # the store has all that there ever was

    await house.oblivion.forget_fields([ADA])

    for ask in (blind.open, blind.resume, lambda: blind.look("r1")):
        with pytest.raises(LedgerUnavailable):
            await ask()


class AwayLedger:
    """Postgres is away."""

    def __getattr__(self, _: str) -> Callable[..., Awaitable[None]]:
        async def fail(*_: object, **__: object) -> None:
            raise LedgerUnavailable("away")

        return fail


async def test_who_has_much_is_read_in_parts_of_one_moment(
    house: Parlour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_memory, "MOST_AT_ONCE", 100)
    for number in range(150):
        await house.bet(f"b{number}", f"r{number}", amount=1)
    playing = asyncio.create_task(play_on(house, 150))
    try:
        for _ in range(10):
            session = await house.resume(rounds=200, transactions=1)
            [balance] = session.balances
            newest = int(session.transactions[0].record.transaction_id.removeprefix("b"))
            assert balance.buckets.cash == 1000 - newest - 1
            assert balance.version == newest + 3
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


async def play_on(house: Parlour, number: int) -> None:
    while number < 1000:
        await house.bet(f"b{number}", f"r{number}", amount=1)
        number += 1


async def test_who_has_too_much_and_never_rests_is_told_to_come_again(
    house: Parlour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_memory, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(hot_memory, "_MOST_IN_THE_END", 1)
    monkeypatch.setattr(hot_memory, "_TRIES", 0)
    await house.bet("b1", "r1")

    with pytest.raises(Overloaded):
        await house.resume()


SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
async def test_who_was_cut_off_decides_right_from_the_session_alone(house: Parlour, seed: int) -> None:
    """Calls are cut off at any point. From the session alone the client tells which were applied; those that
    are not there it gives up with a rollback, and after that nothing of them ever comes.
    """
    dice = random.Random(seed)
    sent: dict[str, Step] = {}
    for number in range(12):
        step = movement(TransactionKind.BET, f"b{number}", 10, round_id=f"r{number % 3}", game="g")
        sent[step.transaction_id] = step
        call = asyncio.create_task(house.money.move(ADA, step))
        if dice.random() < 0.5:
            await call
            continue
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        if dice.random() < 0.2:
            await house.money.drain()
            await house.oblivion.forget_fields([ADA])

    session = await house.resume(source="games")
    seen = {played.record.transaction_id for played in session.transactions}
    [balance] = session.balances
    assert balance.buckets.cash == 1000 - 10 * len(seen)
    assert {round_.round for round_ in session.open_rounds} == {sent[name].round for name in seen}

    for name in sent.keys() - seen:
        await house.money.move(ADA, rollback(f"give up {name}", name))
    for name in sent.keys() - seen:
        with pytest.raises(Refused):
            await house.money.move(ADA, sent[name])
    for name in seen:
        [again] = await house.money.move(ADA, sent[name])
        assert again.replayed
    [after] = (await house.resume(source="games")).balances
    assert after.buckets.cash == balance.buckets.cash
    await house.money.drain()


async def test_a_closing_outlives_the_loss_of_the_store(
    ledgers: Ledgers, private_valkey: EmbeddedValkey
) -> None:
    """Drained, and the store comes back empty: a new generation, loaded from the ledger."""
    async with ledgers.fresh() as dsn:
        async with parlour(private_valkey.url, dsn) as house:
            await house.money.open(ADA, credit_line=100)
            await house.bet("b1", "r1")
            await house.close("c1", "r1")
            await house.close("c0", "never played")
            await house.money.drain()
        async with Redis.from_url(private_valkey.url) as store:
            await store.flushall()
        async with parlour(private_valkey.url, dsn) as house:
            for round_ in ("r1", "never played"):
                with pytest.raises(Refused) as refusal:
                    await house.bet(f"late in {round_}", round_)
                assert refusal.value.details.reason == "ROUND_CLOSED"
                assert (await house.look(round_)).record.is_closed
            [again] = await house.money.move(ADA, close_round("c1", "r1", "g"))
            assert again.replayed
            assert await house.open() == []


async def test_slips_in_play_are_told_whatever_was_forgotten(house: Parlour, forget: Forget) -> None:
    await house.money.move(ADA, hold("held", 10))
    await house.money.move(ADA, place("open", 10))
    await house.money.move(ADA, place("settled", 10), settle("won", "settled", 20))
    await house.money.move(ADA, place("elsewhere", 10), source="others")
    await house.money.move(ADA, place("undone", 10), rollback("undo", "undone"))
    await forget()
    session = await house.resume(source="games")
    assert [played.record.transaction_id for played in session.open_slips] == ["open", "held"]
    assert not session.more_open_slips
    await house.money.move(ADA, void("void", "open"))
    assert [played.record.transaction_id for played in (await house.resume()).open_slips] == [
        "elsewhere",
        "held",
    ]
    some = await house.resume(slips=1)
    assert [played.record.transaction_id for played in some.open_slips] == ["elsewhere"]
    assert some.more_open_slips

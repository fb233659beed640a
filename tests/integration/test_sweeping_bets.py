"""Bets that nothing settles are given back: once, by the wallet's word, and never in silence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from persistence.calls import Call, SettledRollbackPolicy, Source, StepResult
from persistence.drainer import wall_clock_ms
from persistence.errors import OutcomeUnknown, ReviewNotFound, ReviewResolved, StoreUnavailable
from persistence.postgres.database import LedgerRole, Pool, ledger_pool
from persistence.postgres.open_rounds import OpenRoundTable, sweep_id
from persistence.postgres.reviews import Review, ReviewFilter, ReviewKind, Reviews
from persistence.sweeping import Sweeping
from persistence.transactions import PlayerId, SourceId, TransactionId, TransactionKind
from service.embedded import EmbeddedValkey
from tests.drained_ledger import TIMEOUT_S, Wallets, close_round, movement, rollback, wallets

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR_MS = 3_600_000
GAMES = Source(SourceId("games"), orphan_horizon_ms=HOUR_MS)
TRUSTING = Source(
    SourceId("trusting"), orphan_horizon_ms=HOUR_MS, settled_rollback=SettledRollbackPolicy.ALLOW
)
PATIENT = Source(SourceId("patient"))
SOURCES: Mapping[str, Source] = {source.source_id: source for source in (GAMES, TRUSTING, PATIENT)}


@dataclass(slots=True)
class House:
    """Ada's wallet, and whoever sweeps. ``later_ms`` is how far the sweepers' clocks are ahead."""

    money: Wallets
    writer: Pool
    registrar: Pool
    later_ms: int = 2 * HOUR_MS

    def sweeping(self, engine: Any = None, **changes: Any) -> Sweeping:
        return Sweeping(
            engine or self.money.engine,
            OpenRoundTable(self.writer),
            sources=SOURCES.values,
            now_ms=lambda: wall_clock_ms() + self.later_ms,
            **changes,
        )

    async def sweep(self, sweeping: Sweeping | None = None) -> Sweeping:
        """Drains, and sweeps until there is nothing more to do at once."""
        await self.money.drain()
        sweeping = sweeping or self.sweeping()
        while await sweeping.run_once():
            pass
        return sweeping

    async def bet(self, name: str, round_: str = "r1", *, source: str = "games", player: str = "ada") -> None:
        step = movement(TransactionKind.BET, name, 10, round_id=round_, game="g")
        await self.money.move(player, step, source=source)

    async def cash(self, player: str = "ada") -> int:
        view = await self.money.engine.read_player(
            PlayerId(player), deadline=asyncio.get_running_loop().time() + TIMEOUT_S
        )
        return view.balances[0].buckets.cash

    async def reviews(self, **wanted: Any) -> list[Review]:
        """After what was swept is in the ledger, and followed."""
        for _ in range(2):
            await self.sweep()
        page = await Reviews(self.registrar).list(ReviewFilter(**wanted), page_size=100, page_token="")
        return list(page.reviews)

    async def open_rounds(self) -> dict[str, tuple[int, bool]]:
        """Live bets, and whether anything settles them."""
        rows = await self.writer.fetch("SELECT round_id, live_bets, is_settled FROM ledger.open_rounds")
        return {row["round_id"]: (row["live_bets"], row["is_settled"]) for row in rows}


@pytest_asyncio.fixture(loop_scope="session")
async def house(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[House]:
    """Ada and Bob with 100 cents."""
    async with AsyncExitStack() as stack:
        money = await stack.enter_async_context(wallets(private_valkey.url, ledger_dsn, sources=SOURCES))
        writer, registrar = [
            await stack.enter_async_context(
                ledger_pool(ledger_dsn, role=role, size=4, statement_timeout_s=TIMEOUT_S)
            )
            for role in (LedgerRole.WRITER, LedgerRole.REGISTRAR)
        ]
        for player in ("ada", "bob"):
            await money.open(player)
            await money.move(player, movement(TransactionKind.DEPOSIT, "start", 100), source="patient")
        yield House(money, writer, registrar)


Act = Callable[[House], Awaitable[object]]


def win(name: str, *, of: str = "", round_: str = "", source: str = "games") -> Act:
    game = "g" if round_ else ""
    step = replace(movement(TransactionKind.WIN, name, 0, round_id=round_, game=game), reference=of)
    return lambda house: house.money.move("ada", step, source=source)


async def test_a_bet_that_nothing_settles_is_given_back_and_raised_for_review(house: House) -> None:
    await house.bet("b1")

    await house.sweep()

    assert await house.cash() == 100
    [review] = await house.reviews()
    assert (review.kind, review.player_id, review.source_id, review.transaction_id) == (
        ReviewKind.BET_SWEPT, "ada", "games", "b1",
    )  # fmt: skip
    assert (review.game, review.round, review.action_transaction_id) == ("g", "r1", "§sweep:b1")
    entry = await house.writer.fetchrow(
        "SELECT * FROM ledger.entries WHERE transaction_id = $1", review.action_transaction_id
    )
    assert entry is not None
    assert review.entry_id == f"{entry['partition']}-{entry['epoch']}-{entry['sequence']}-0"
    assert "orphan horizon" in entry["metadata"]
    assert await house.open_rounds() == {}


async def test_a_bet_that_is_young_stays(house: House) -> None:
    await house.bet("b1")
    house.later_ms = HOUR_MS // 2

    await house.sweep()

    assert await house.cash() == 90
    assert await house.reviews() == []


LEFT_ALONE: dict[str, tuple[Act, ...]] = {
    "won by name": (win("w1", of="b1"),),
    "won by its round": (win("w1", round_="r1"),),
    "lost with a win of zero that closes": (
        lambda house: house.money.move(
            "ada",
            replace(movement(TransactionKind.WIN, "w1", 0, round_id="r1", game="g"), closes_round=True),
        ),
    ),
    "lost, as its round was closed": (lambda house: house.money.move("ada", close_round("c1", "r1", "g")),),
    "rolled back": (lambda house: house.money.move("ada", rollback("x1", "b1")),),
}


@pytest.mark.parametrize("is_drained", [True, False], ids=["drained", "not drained yet"])
@pytest.mark.parametrize("acts", LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
async def test_a_bet_that_something_became_of_is_left_alone(
    house: House, acts: tuple[Act, ...], *, is_drained: bool
) -> None:
    await house.bet("b1")
    await house.money.drain()
    for act in acts:
        await act(house)
    before = await house.cash()

    if is_drained:
        await house.sweep()
    else:  # the ledger knows only of the bet: the wallet has to say no
        sweeping = house.sweeping()
        await sweeping.run_once()
        assert sweeping.counts.left_alone == 1

    assert await house.cash() == before
    assert await house.reviews() == []


async def test_a_bet_in_a_round_of_which_another_bet_was_won_is_left_alone(house: House) -> None:
    await house.bet("b1")
    await house.bet("b2")
    await win("w1", of="b1")(house)

    await house.sweep()

    assert await house.cash() == 80
    assert await house.open_rounds() == {"r1": (2, True)}


async def test_a_settled_bet_is_left_alone_also_where_its_source_may_roll_it_back(house: House) -> None:
    await house.bet("b1", source="trusting")
    await house.money.drain()
    await win("w1", of="b1", source="trusting")(house)

    sweeping = house.sweeping()
    await sweeping.run_once()

    assert sweeping.counts.left_alone == 1
    assert await house.cash() == 90


async def test_a_bet_whose_win_was_taken_back_is_an_orphan_again(house: House) -> None:
    await house.bet("b1")
    await win("w1", of="b1")(house)
    await house.sweep()
    assert await house.open_rounds() == {"r1": (1, True)}
    await house.money.move("ada", rollback("x1", "w1"))

    await house.sweep()

    assert await house.cash() == 100
    assert [review.transaction_id for review in await house.reviews()] == ["b1"]


async def test_sources_without_a_horizon_are_not_swept(house: House) -> None:
    await house.bet("b1", source="patient")

    await house.sweep()

    assert await house.cash() == 90
    assert await house.open_rounds() == {"r1": (1, False)}


async def test_every_bet_of_a_round_that_is_old_enough_is_given_back(house: House) -> None:
    for number in range(3):
        await house.bet(f"b{number}")
    await house.bet("b3", "r2")
    await house.bet("b0", player="bob")

    await house.sweep()

    assert (await house.cash(), await house.cash("bob")) == (100, 100)
    told = [(review.player_id, review.transaction_id) for review in await house.reviews()]
    assert sorted(told) == [("ada", "b0"), ("ada", "b1"), ("ada", "b2"), ("ada", "b3"), ("bob", "b0")]


async def test_many_sweepers_at_once_give_each_bet_back_once(house: House) -> None:
    for number in range(10):
        await house.bet(f"b{number}", f"r{number}")
    await house.money.drain()

    sweepers = [house.sweeping() for _ in range(6)]
    await asyncio.gather(*(house.sweep(sweeper) for sweeper in sweepers))

    assert await house.cash() == 100
    assert sum(sweeper.counts.swept for sweeper in sweepers) == 10
    assert len(await house.reviews()) == 10


async def test_the_same_bet_is_never_given_back_twice_whoever_tries(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.bet("b1")
    await house.reviews()
    # As if one had read its list long ago, and another one has swept since.
    await house.writer.execute(
        """INSERT INTO ledger.open_rounds SELECT 'ada', 'games', 'g', 'r1', partition, 1, false,
           booked_time, booked_time FROM ledger.entries WHERE transaction_id = 'b1'"""
    )
    monkeypatch.setattr(OpenRoundTable, "orphaned_bets", always_b1)

    await asyncio.gather(*(house.sweep() for _ in range(3)))

    assert await house.cash() == 100
    assert len(await house.reviews()) == 1


async def always_b1(*_: object) -> list[TransactionId]:
    return [TransactionId("b1")]


class DyingEngine:
    """Does what it is asked, and then its answer is lost."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def transact(self, call: Call, *, deadline: float) -> tuple[StepResult, ...]:
        await self._engine.transact(call, deadline=deadline)
        raise OutcomeUnknown("the answer was lost")


async def test_a_sweeper_that_dies_after_it_gave_back_leaves_a_review_all_the_same(house: House) -> None:
    await house.bet("b1")
    await house.money.drain()

    sweeping = house.sweeping(DyingEngine(house.money.engine))
    await sweeping.run_once()

    assert sweeping.counts.swept == 0
    assert await house.cash() == 100
    assert [review.transaction_id for review in await house.reviews()] == ["b1"]


class HalfDeafEngine(DyingEngine):
    """Cannot reach one player's store."""

    asked = 0

    async def transact(self, call: Call, *, deadline: float) -> tuple[StepResult, ...]:
        if call.player_id == "ada":
            self.asked += 1
            raise StoreUnavailable("gone")
        results: tuple[StepResult, ...] = await self._engine.transact(call, deadline=deadline)
        return results


async def test_a_partition_that_cannot_be_asked_holds_up_no_other(house: House) -> None:
    for number in range(3):
        await house.bet(f"b{number}", f"r{number}")
    await house.bet("b0", player="bob")
    await house.money.drain()

    deaf = HalfDeafEngine(house.money.engine)
    await house.sweeping(deaf).run_once()

    assert (await house.cash(), await house.cash("bob"), deaf.asked) == (70, 100, 1)
    house.later_ms += 15 * 60_000
    await house.sweep()
    assert await house.cash() == 100


async def test_what_was_claimed_by_one_that_died_is_looked_at_again_later(house: House) -> None:
    await house.bet("b1")
    await house.money.drain()
    await house.sweeping().run_once()  # follows
    await house.writer.execute("UPDATE ledger.open_rounds SET looked_time = now() + interval '2 hours'")
    await house.bet("b2")  # nothing that matters: the round is touched again
    await house.money.drain()
    first = await house.cash()

    await house.sweep()
    assert await house.cash() == first

    house.later_ms += 15 * 60_000
    await house.sweep()
    assert await house.cash() == 100


async def test_the_table_says_the_same_however_the_ledger_was_followed(house: House) -> None:
    for number in range(6):
        await house.bet(f"b{number}", f"r{number % 3}", source="patient")
        if number % 2:
            await house.money.drain()
            await house.sweeping().run_once()
    await win("w1", of="b1", source="patient")(house)
    await house.money.move("ada", rollback("x2", "b2"), source="patient")
    await house.money.move("ada", close_round("c0", "r0", "g"), source="patient")
    await house.sweep()
    step_by_step = await house.open_rounds()

    await house.writer.execute("DELETE FROM ledger.open_rounds")
    await house.writer.execute("UPDATE ledger.round_progress SET next_chain_position = 0")
    table = OpenRoundTable(house.writer)
    for partition in await table.partitions_to_follow():
        while await table.follow(partition, 1):
            pass

    assert step_by_step == {"r1": (2, True), "r2": (1, False)}
    assert await house.open_rounds() == step_by_step


async def test_a_partition_is_followed_by_one_at_a_time(house: House) -> None:
    await house.bet("b1")
    await house.money.drain()
    table = OpenRoundTable(house.writer)
    [partition] = [
        number for number in await table.partitions_to_follow() if number == await partition_of_ada(house)
    ]
    async with house.writer.acquire() as other, other.transaction():
        await other.fetchval("SELECT 1 FROM ledger.round_progress WHERE partition = $1 FOR UPDATE", partition)

        assert not await table.follow(partition, 100)
        assert partition in await table.partitions_to_follow()

    await table.follow(partition, 100)
    assert partition not in await table.partitions_to_follow()


async def partition_of_ada(house: House) -> int:
    row = await house.writer.fetchrow("SELECT partition FROM ledger.entries WHERE player_id = 'ada' LIMIT 1")
    assert row is not None
    return int(row["partition"])


async def test_a_review_is_resolved_once_by_one_person(house: House) -> None:
    await house.bet("b1")
    [review] = await house.reviews()
    reviews = Reviews(house.registrar)

    resolved = await reviews.resolve(review.review_id, resolved_by="eve", note="the game had crashed")
    again = await reviews.resolve(review.review_id, resolved_by="eve", note="the game had crashed")

    assert (resolved.resolved_by, resolved.note) == ("eve", "the game had crashed")
    assert again == resolved
    with pytest.raises(ReviewResolved):
        await reviews.resolve(review.review_id, resolved_by="mallory", note="fine")
    with pytest.raises(ReviewNotFound):
        await reviews.resolve(review.review_id + 1, resolved_by="eve", note="?")
    assert await house.reviews() == []
    assert await house.reviews(include_resolved=True, player_id="ada") == [resolved]
    assert await house.reviews(include_resolved=True, source_id="patient") == []


async def test_reviews_are_listed_page_by_page(house: House) -> None:
    for number in range(5):
        await house.bet(f"b{number}", f"r{number}")
    whole = await house.reviews()
    reviews, listed, token = Reviews(house.registrar), list[Review](), ""
    while True:
        page = await reviews.list(ReviewFilter(), page_size=2, page_token=token)
        listed += page.reviews
        token = page.next_page_token
        if not token:
            break

    assert listed == whole
    assert len(whole) == 5


async def test_the_id_of_a_sweep_is_none_that_a_caller_can_have() -> None:
    assert not sweep_id(TransactionId("b1")).isascii()

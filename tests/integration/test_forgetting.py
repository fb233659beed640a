"""Sweeps over real stores and ledgers: who is forgotten, what of whom, and how often the ledger is asked."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence import old_fields
from persistence.drainer import wall_clock_ms
from persistence.errors import Refused
from persistence.forgetting import Pace
from persistence.older_filter import OlderFilter, blocks_for
from persistence.transactions import SEPARATOR, PlayerId, TransactionKind
from persistence.valkey.residence import ANYTHING, RESIDENCE
from service.embedded import EmbeddedValkey
from tests.drained_ledger import movement
from tests.sweeping import AT_ONCE, WINDOW_MS, WINDOW_S, House, keys_of, later_ms, stopped_at, sweeping_house

OLD_FIELDS = 130


@pytest_asyncio.fixture(loop_scope="session")
async def house(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[House]:
    async with sweeping_house(private_valkey.url, ledger_dsn) as made:
        yield made


async def test_a_sweep_forgets_who_was_idle_for_the_window(house: House) -> None:
    for player in ("ada", "bob"):
        await house.money.open(player, credit_line=100)
    await house.money.drain()

    await house.forgetter.sweep(wall_clock_ms, AT_ONCE)
    assert await house.residence("ada") is not None

    await house.forgetter.sweep(later_ms, AT_ONCE)

    assert (await house.residence("ada"), await house.residence("bob")) == (None, None)
    assert house.forgetter.counts.forgotten_players == 2


async def test_who_has_records_that_are_not_drained_stays(house: House) -> None:
    await house.money.open("ada", credit_line=100)

    await house.forgetter.sweep(later_ms, AT_ONCE)

    assert await house.residence("ada") is not None
    assert house.interrupted.forgettings == 0


async def test_who_was_only_refused_something_since_the_drain_stays(house: House) -> None:
    await house.money.open("ada", credit_line=100)
    await house.money.drain()
    await house.money.refused("ada", movement(TransactionKind.BET, "b1", 101))

    await house.forgetter.sweep(later_ms, AT_ONCE)

    assert await house.residence("ada") is not None
    with pytest.raises(Refused) as again:
        await house.bet("ada", "b1", amount=101)
    assert again.value.details.replayed


async def test_who_plays_between_the_look_and_the_forgetting_stays(house: House) -> None:
    await house.money.open("ada", credit_line=100)
    await house.bet("ada", "b1")
    await house.money.drain()
    house.interrupted.meanwhile = lambda: house.bet("ada", "b2")

    await house.forgetter.sweep(later_ms, AT_ONCE)

    assert await house.residence("ada") is not None
    assert [await house.is_replay("ada", name) for name in ("b1", "b2")] == [True, True]


async def test_one_sweep_forgets_all_old_ids_of_who_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_fields, "_MOST_FOUND", OLD_FIELDS // 2)
    await house.money.open("ada", credit_line=1_000)
    names = [f"b{number}" for number in range(OLD_FIELDS)]
    await house.bet("ada", *names)
    await house.money.drain()
    cut_ms = await house.next_ms("ada")
    await house.bet("ada", "new")
    await house.money.drain()

    await house.forgetter.sweep(stopped_at(cut_ms + WINDOW_MS), AT_ONCE)

    assert house.forgetter.counts.forgotten_fields == OLD_FIELDS
    residence = await house.residence("ada")
    assert residence is not None
    assert residence.older.isdigit()
    assert residence.older_count >= OLD_FIELDS
    assert int(residence.older) >= blocks_for(residence.older_count)
    assert await house.is_replay("ada", "new")
    assert [await house.is_replay("ada", name) for name in names] == [True] * OLD_FIELDS
    assert not await house.is_replay("ada", "newer")


async def test_what_is_forgotten_later_joins_what_was_forgotten_before(
    house: House, private_valkey: EmbeddedValkey
) -> None:
    await house.money.open("ada", credit_line=100)
    earlier, later = [[f"{which}{number}" for number in range(5)] for which in ("a", "b")]
    cuts = []
    for names in (earlier, later):
        await house.bet("ada", *names)
        cuts.append(await house.next_ms("ada"))
    await house.bet("ada", "new")
    await house.money.drain()

    for cut_ms, forgetter in zip(cuts, (house.forgetter, house.other_forgetter), strict=True):
        await forgetter.sweep(stopped_at(cut_ms + WINDOW_MS), AT_ONCE)

    residence = await house.residence("ada")
    assert residence is not None
    assert (residence.older, residence.older_count) == ("4", 10)
    fields = [SEPARATOR.join(("games", name)) for name in (*earlier, *later)]
    async with Redis.from_url(private_valkey.url) as store:
        assert await store.get(keys_of("ada").older) == OlderFilter.of(fields, 4).bytes
    assert all([await house.is_replay("ada", name) for name in (*earlier, *later)])


async def test_two_who_sweep_at_once_leave_one_filter(house: House) -> None:
    """The one makes it for a few fields, the other one for many, in between."""
    await house.money.open("ada", credit_line=1_000)
    await house.bet("ada", "b0")
    cut_ms = await house.next_ms("ada")
    names = [f"b{number}" for number in range(1, OLD_FIELDS)]
    await house.bet("ada", *names)
    await house.money.drain()
    later_cut_ms = await house.next_ms("ada")
    await house.bet("ada", "new")
    await house.money.drain()
    house.interrupted.meanwhile = lambda: house.other_forgetter.sweep(
        stopped_at(later_cut_ms + WINDOW_MS), AT_ONCE
    )

    await house.forgetter.sweep(stopped_at(cut_ms + WINDOW_MS), AT_ONCE)

    assert house.other_forgetter.counts.forgotten_fields == OLD_FIELDS
    assert house.forgetter.counts.forgotten_fields == 0
    assert all([await house.is_replay("ada", name) for name in ("b0", *names, "new")])


async def test_a_player_without_a_filter_gets_one_whether_or_not_it_is_his_turn(house: House) -> None:
    """As if the ledger knew more than a filter is made of while somebody waits."""
    await house.money.open("ada", credit_line=100)
    await house.bet("ada", "b1", "b2")
    await house.money.drain()
    await house.forgetter.sweep(later_ms, AT_ONCE)
    known = await house.known("ada", since_ms=wall_clock_ms() + WINDOW_MS)
    assert await house.load(known) == "OK"
    before = await house.residence("ada")
    assert before is not None
    assert before.older == ANYTHING

    await house.forgetter.sweep(wall_clock_ms, AT_ONCE)

    after = await house.residence("ada")
    assert after is not None
    assert (after.older.isdigit(), after.older_count) == (True, 2)
    assert await house.is_replay("ada", "b1")
    assert not await house.is_replay("ada", "b3")


async def test_what_a_store_kept_through_a_loss_is_dropped_and_not_used(
    house: House, private_valkey: EmbeddedValkey
) -> None:
    await house.money.open("ada", credit_line=100)
    await house.bet("ada", "b1")
    await house.money.drain()
    wallets = keys_of("ada").wallets
    generation, rest = (await house.marker("ada")).split(SEPARATOR, 1)
    void = f"{int(generation) + 1}{SEPARATOR}{rest}"
    async with Redis.from_url(private_valkey.url) as store:
        await store.hset(wallets, RESIDENCE, void)
        await house.forgetter.sweep(wall_clock_ms, AT_ONCE)
        assert not await store.exists(wallets)

        await store.hset(wallets, items=[RESIDENCE, void, "EUR", "void"])
    assert await house.is_replay("ada", "b1")
    view = await house.money.engine.read_player(PlayerId("ada"), deadline=float("inf"))
    assert [(wallet.version, wallet.buckets.cash) for wallet in view.balances] == [(2, -1)]


async def test_a_sweep_does_not_read_all_partitions_for_every_few_players(house: House) -> None:
    for number in range(12):
        await house.money.open(f"player-{number}")
    await house.money.drain()

    await house.forgetter.sweep(wall_clock_ms, Pace(WINDOW_S, batch_players=1, pause_s=0.0))

    assert house.forgetter.counts.seen_players >= 12
    assert house.ledger.reads <= 2

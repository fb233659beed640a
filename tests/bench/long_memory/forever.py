"""What it costs that an id is remembered for ever: for new bets, for late duplicates, in bytes."""

import time
from typing import Any

from persistence.older_filter import OlderFilter
from persistence.transactions import SEPARATOR, PlayerId, partition_of
from persistence.valkey.hot_wallets import hot_wallets
from persistence.valkey.keys import PlayerKeys, player_keys
from persistence.valkey.residence import ANYTHING, Residence
from tests.bench import unary
from tests.bench.long_memory.seeding import old_id
from tests.bench.long_memory.stage import Stage
from tests.bench.plan import MAIN_CONCURRENCY
from tests.bench.unary import Contestant
from tests.bench.workload import SOURCE, player_name

_STRANGERS = 100_000
_LATE_PLAYERS = 100


async def new_bets(stage: Stage) -> dict[str, Any]:
    """The bets of one player, in turns with another's about whom the ledger alone knows more, or anything."""
    size = stage.size
    known, fewer, more, unfiltered = (size.wallets + number for number in range(4))
    first_calls = {
        name: (await stage.send("debit", first=number, concurrency=1)).p50_ms
        for name, number in (("nothing", known), ("fewer", fewer), ("more", more), ("more_again", unfiltered))
    }
    async with stage.stack.draining():
        await stage.ledger.until_drained()
        loaded = await _residence(stage, more)
        started = time.perf_counter()
        await stage.oblivion.forget_fields([player_name(more)])
        filtered_s = time.perf_counter() - started
    markers = {number: await _residence(stage, number) for number in (known, fewer, more, unfiltered)}
    _require(
        loaded.older == ANYTHING and markers[more].older.isdigit(),
        "the sweep makes the filter that is missing",
    )
    _require(
        markers[known].older == "" and markers[fewer].older.isdigit(), "fewer ids come with their filter"
    )
    _require(markers[unfiltered].older == ANYTHING, "one player has no filter")
    rounds = await unary.in_turns(
        stage.loader,
        size.plan,
        [
            Contestant("everything_known", "debit", 1, known),
            Contestant("filter_of_fewer", "debit", 1, fewer),
            Contestant("filter_of_more", "debit", 1, more),
            Contestant("no_filter", "debit", 1, unfiltered),
        ],
        concurrency=MAIN_CONCURRENCY,
    )
    summaries = unary.summaries(rounds)
    return {
        "fewer_older_ids": size.fewer_older,
        "more_older_ids": size.more_older,
        **{
            f"{name}_vs_everything_known": unary.rate_ratio(rounds, name, "everything_known")
            for name in ("filter_of_fewer", "filter_of_more", "no_filter")
        },
        **{f"{name}_per_s": figures.per_s for name, figures in summaries.items()},
        **{f"{name}_p99_ms": figures.p99_ms for name, figures in summaries.items()},
        **{f"{name}_server_cpu_us": figures.server_cpu_us for name, figures in summaries.items()},
        **{f"{name}_store_cpu_us": figures.store_cpu_us for name, figures in summaries.items()},
        **{f"first_call_{name}_ms": ms for name, ms in first_calls.items()},
        "filter_made_in_s": filtered_s,
        "fewer": await _filter_figures(stage, fewer, size.fewer_older),
        "more": await _filter_figures(stage, more, size.more_older),
        "bytes_per_id_in_the_hash": await _bytes_per_id(stage, known),
    }


async def late_calls(stage: Stage) -> dict[str, Any]:
    """One call at a time: a bet of a player who has to be loaded, of one who is there, and an id again that
    the store has, or had to be told of by the ledger.
    """
    size = stage.size
    cold = size.active + size.resident
    first = await stage.send("debit", first=cold, players=size.late, concurrency=1)
    there = await stage.send("debit", first=cold, players=size.late, concurrency=1)
    late_players, run = [player_name(cold + number) for number in range(_LATE_PLAYERS)], "late"
    async with stage.stack.draining():
        await stage.send("debit", first=cold, players=_LATE_PLAYERS, count=size.late, run=run)
        await stage.ledger.until_drained()
        await stage.oblivion.forget_fields(late_players)
    left = sum([await _hash_length(stage, player) for player in late_players])
    _require(left == 0, "all ids of these players are forgotten")
    late, again = [
        await stage.send("debit", first=cold, players=_LATE_PLAYERS, count=size.late, concurrency=1, run=run)
        for _ in range(2)
    ]
    return {
        f"{name}_{quantile}": getattr(figures, quantile)
        for name, figures in (
            ("first_call", first),
            ("new_bet", there),
            ("late_duplicate", late),
            ("known_duplicate", again),
        )
        for quantile in ("p50_ms", "p99_ms")
    }


async def _hash_length(stage: Stage, player: str) -> int:
    return int(await stage.valkey.hlen(_keys(stage, player).ids))


async def _filter_figures(stage: Stage, number: int, added: int) -> dict[str, float]:
    """The filter as it stands in the store: its weight, and whom it takes for known."""
    player = player_name(number)
    key = _keys(stage, player).older
    contents = await stage.valkey.get(key)
    assert isinstance(contents, bytes)
    found = OlderFilter(contents)
    _require(
        all(f"{SOURCE}{SEPARATOR}{old_id(number)}" in found for number in range(added)), "nothing is missed"
    )
    strangers = sum(f"{SOURCE}{SEPARATOR}never-{number}" in found for number in range(_STRANGERS))
    return {
        "bytes_per_id": int(await stage.valkey.memory_usage(key) or 0) / added,
        "false_positives": strangers / _STRANGERS,
    }


async def _bytes_per_id(stage: Stage, number: int) -> float:
    player = player_name(number)
    key = _keys(stage, player).ids
    return int(await stage.valkey.memory_usage(key, samples=0) or 0) / await _hash_length(stage, player)


async def _residence(stage: Stage, number: int) -> Residence:
    player = PlayerId(player_name(number))
    async with hot_wallets(
        stage.stack.valkey.url, partition_count=stage.oblivion.partition_count, timeout_s=5.0
    ) as hot:
        return Residence.parse((await hot.residences([player]))[player])


def _keys(stage: Stage, player: str) -> PlayerKeys:
    player_id = PlayerId(player)
    return player_keys(partition_of(player_id, stage.oblivion.partition_count), player_id)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise RuntimeError(f"this does not hold, and the figures mean something else: {what}")

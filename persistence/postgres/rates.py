"""Rates as feeds and people push them, decisions about held ones, and what holds for their use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from fx.rate_book import RateBook
from fx.rate_checks import Judgement, judge, needs_second_person
from fx.rates import Pair, Rate, RateState, Spread
from persistence.errors import RateNotFound, RateNotHeld, SamePerson
from persistence.postgres.database import Connection, Pool
from persistence.postgres.queries import query
from persistence.postgres.rate_rows import (
    RecordedRate,
    pair_of,
    rate_of,
    read_pairs,
    read_pivots,
    read_spreads,
    recorded_rate_of,
    time_of,
    unix_ms,
)
from persistence.postgres.timed_transactions import timed_transaction

PairKey = tuple[str, str]
"""Base and quote."""


@dataclass(frozen=True, slots=True)
class PushedRate:
    """What a feed or a person says that a pair is worth. ``published_ms`` is Unix time."""

    base: str
    quote: str
    mid: Decimal
    published_ms: int


class PushOutcome(StrEnum):
    """What became of a pushed rate. The last two are not kept."""

    ACCEPTED = "accepted"
    HELD = "held"
    IGNORED = "ignored"
    PAIR_UNKNOWN = "pair_unknown"


@dataclass(frozen=True, slots=True)
class PushResult:
    """``reason`` says why a rate was not accepted; ``rate_id`` is 0 where it was not kept."""

    outcome: PushOutcome
    rate_id: int = 0
    reason: str = ""


class Decision(StrEnum):
    """About a rate that is held."""

    CONFIRMED = "confirmed"
    REJECTED = "rejected"


_OUTCOMES = {
    Judgement.ACCEPTED: PushOutcome.ACCEPTED,
    Judgement.HELD: PushOutcome.HELD,
    Judgement.IGNORED: PushOutcome.IGNORED,
}
_DECIDED_STATES = {Decision.CONFIRMED: RateState.ACCEPTED, Decision.REJECTED: RateState.REJECTED}


class PostgresRates:
    """Reads and writes rates over a pool of the registrar's connections.

    Deadlines are in the event loop's time. Beside what each method names, all of them raise
    LedgerUnavailable.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def push(
        self, source: str, rates: Sequence[PushedRate], *, pushed_by: str, deadline: float
    ) -> Sequence[PushResult]:
        """Judges rates in their order and keeps those that are not ignored; a result for each.

        Pairs are locked meanwhile: two pushes never compare with the same predecessor.
        """
        async with timed_transaction(self._pool, deadline) as connection:
            pairs = await _lock_pairs(connection, {(rate.base, rate.quote) for rate in rates})
            bench = _Bench(
                source=source,
                received_ms=unix_ms(await connection.fetchval(query("clock"))),
                pairs=pairs,
                accepted=await _rates_of_pairs(connection, "rates_in_use", pairs),
                from_source=await _rates_of_pairs(connection, "last_rates_of_source", pairs, source),
            )
            judged = [bench.judge(rate) for rate in rates]
            ids = iter(await _record(connection, bench, judged, pushed_by))
        return [replace(result, rate_id=next(ids)) if kept is not None else result for result, kept in judged]

    async def decide(
        self, rate_id: int, decision: Decision, *, by: str, reason: str, deadline: float
    ) -> RecordedRate:
        """Confirms or rejects a held rate. Saying the same again changes nothing.

        Raises RateNotFound, RateNotHeld, and SamePerson where it takes somebody else to confirm it.
        """
        async with timed_transaction(self._pool, deadline) as connection:
            named = await connection.fetchrow(query("judged_rate"), rate_id)
            if named is None:
                raise RateNotFound(f"there is no rate {rate_id}")
            key = named["base"], named["quote"]
            pairs = await _lock_pairs(connection, [key])
            recorded = await _recorded_rate(connection, rate_id)
            if recorded.rate.state is not RateState.HELD:
                if (recorded.decided_by, recorded.rate.state) == (by, _DECIDED_STATES[decision]):
                    return recorded
                raise RateNotHeld(rate_id, recorded.rate.state)
            if decision is Decision.CONFIRMED and recorded.pushed_by == by:
                accepted = await _rates_of_pairs(connection, "rates_in_use", pairs)
                if needs_second_person(recorded.rate, accepted.get(key), pairs[key]):
                    raise SamePerson(rate_id, by)
            await connection.execute(query("decide_rate"), rate_id, decision, by, reason)
            return await _recorded_rate(connection, rate_id)

    async def book(self, *, deadline: float) -> RateBook:
        """All that a conversion needs to know, as of one moment."""
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            pairs = await read_pairs(connection)
            keys = [(pair.base, pair.quote) for pair in pairs]
            accepted = await _rates_of_pairs(connection, "rates_in_use", keys)
            held = await _rates_of_pairs(connection, "newest_waiting_rates", keys)
            return RateBook(
                rates=[*accepted.values(), *held.values()],
                pairs=pairs,
                spreads=await read_spreads(connection),
                pivots=await read_pivots(connection),
                scales={
                    row["currency_code"]: row["scale"] for row in await connection.fetch(query("currencies"))
                },
            )

    async def put_pair(self, pair: Pair, *, deadline: float) -> bool:
        """Stores a pair and returns whether it is new."""
        row = (
            pair.base,
            pair.quote,
            pair.stale_after_s,
            pair.jump_bps,
            pair.two_person_bps,
            pair.peg,
            pair.peg_band_bps,
        )
        async with timed_transaction(self._pool, deadline) as connection:
            return bool(await connection.fetchval(query("put_pair"), *row))

    async def put_spread(self, spread: Spread, *, deadline: float) -> bool:
        """Stores a spread and returns whether there was none for the same."""
        async with timed_transaction(self._pool, deadline) as connection:
            return bool(await connection.fetchval(query("put_spread"), *_scope_of(spread), spread.bps))

    async def remove_spread(self, spread: Spread, *, deadline: float) -> bool:
        """Removes what is put for the same, whatever its size, and returns whether there was one."""
        async with timed_transaction(self._pool, deadline) as connection:
            return bool(await connection.fetchval(query("remove_spread"), *_scope_of(spread)))

    async def put_pivots(self, codes: Sequence[str], *, deadline: float) -> None:
        """Replaces all pivots."""
        async with timed_transaction(self._pool, deadline) as connection:
            await connection.execute(query("lock_pivots"))
            await connection.execute(query("remove_pivots"))
            await connection.execute(query("put_pivots"), list(codes))


class _Bench:
    """Judges the rates of one push, each with what came before it, the push's own ones included."""

    def __init__(
        self,
        *,
        source: str,
        received_ms: int,
        pairs: Mapping[PairKey, Pair],
        accepted: dict[PairKey, Rate],
        from_source: dict[PairKey, Rate],
    ) -> None:
        self.source = source
        self.received_ms = received_ms
        self._pairs = pairs
        self._accepted = accepted
        self._from_source = from_source

    def judge(self, pushed: PushedRate) -> tuple[PushResult, Rate | None]:
        """What becomes of a rate, and the rate as it is to be kept, still without its number."""
        key = pushed.base, pushed.quote
        pair = self._pairs.get(key)
        if pair is None:
            return PushResult(PushOutcome.PAIR_UNKNOWN, reason="the pair was never put"), None
        rate = Rate(
            0, self.source, pushed.base, pushed.quote, pushed.mid, pushed.published_ms, self.received_ms
        )
        verdict = judge(rate, self._accepted.get(key), pair, last_from_source=self._from_source.get(key))
        result = PushResult(_OUTCOMES[verdict.judgement], reason=verdict.reason)
        if result.outcome is PushOutcome.IGNORED:
            return result, None
        if result.outcome is PushOutcome.ACCEPTED:
            self._accepted[key] = rate
        else:
            rate = replace(rate, state=RateState.HELD)
        self._from_source[key] = rate
        return result, rate


async def _lock_pairs(connection: Connection, keys: Iterable[PairKey]) -> dict[PairKey, Pair]:
    rows = await connection.fetch(query("lock_pairs"), *_columns(keys))
    return {(row["base"], row["quote"]): pair_of(row) for row in rows}


async def _rates_of_pairs(
    connection: Connection, name: str, keys: Iterable[PairKey], *arguments: object
) -> dict[PairKey, Rate]:
    rows = await connection.fetch(query(name), *_columns(keys), *arguments)
    return {(row["base"], row["quote"]): rate_of(row) for row in rows}


async def _record(
    connection: Connection, bench: _Bench, judged: Sequence[tuple[PushResult, Rate | None]], pushed_by: str
) -> Sequence[int]:
    """The numbers of the rates that are kept, in order."""
    kept = [(rate, result.reason) for result, rate in judged if rate is not None]
    rows = await connection.fetch(
        query("record_rates"),
        bench.source,
        pushed_by,
        time_of(bench.received_ms),
        [rate.base for rate, _ in kept],
        [rate.quote for rate, _ in kept],
        [rate.mid for rate, _ in kept],
        [time_of(rate.published_ms) for rate, _ in kept],
        [rate.state for rate, _ in kept],
        [reason for _, reason in kept],
    )
    return sorted(row["rate_id"] for row in rows)


async def _recorded_rate(connection: Connection, rate_id: int) -> RecordedRate:
    row = await connection.fetchrow(query("judged_rate"), rate_id)
    assert row is not None
    return recorded_rate_of(row)


def _scope_of(spread: Spread) -> tuple[str, str, str, str]:
    return spread.currency, spread.wallet_currency, spread.side or "", spread.player_group


def _columns(keys: Iterable[PairKey]) -> tuple[list[str], list[str]]:
    ordered = sorted(keys)
    return [base for base, _ in ordered], [quote for _, quote in ordered]

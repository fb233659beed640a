"""A long mixed play of a few players, with something of everything, and what the store remembers of it."""

import random
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

from redis.asyncio import Redis

from persistence.calls import (
    LateWinPolicy,
    SettledRollbackPolicy,
    ShortfallPolicy,
    Source,
    Step,
    UnknownBetPolicy,
    ZeroAmountPolicy,
)
from persistence.errors import Refused
from persistence.transactions import (
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletStatus,
    partition_of,
)
from persistence.valkey.keys import player_keys
from tests.drained_ledger import EUR, PARTITION_COUNT, USD, Wallets, close_round, movement, rollback
from tests.evening_ledger import next_millisecond
from tests.slip_steps import SlipDealer, place, reopen, settle, unsettle, void

PLAYERS = tuple(PlayerId(f"player-{number}") for number in range(4))
ONLOOKER, STRANGER = PlayerId("onlooker"), PlayerId("stranger")
"""Somebody with a wallet and nothing in it, and somebody whom nobody knows."""
SOURCES: Mapping[str, Source] = {
    source.source_id: source
    for source in (
        Source(SourceId("strict")),
        Source(
            SourceId("lenient"),
            unknown_bet=UnknownBetPolicy.ACCEPT,
            settled_rollback=SettledRollbackPolicy.ALLOW,
            shortfall=ShortfallPolicy.CLAMP,
        ),
        Source(
            SourceId("picky"),
            unknown_bet=UnknownBetPolicy.ACCEPT,
            late_win=LateWinPolicy.REFUSE,
            shortfall=ShortfallPolicy.REJECT,
            zero_amount=ZeroAmountPolicy.REFUSE,
        ),
    )
}
CALLS = 2000


@dataclass(frozen=True, slots=True)
class Remembered:
    """A player's three hashes in the store."""

    wallets: Mapping[str, str]
    ids: Mapping[str, str]
    rounds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Played:
    """A ledger, what the store remembered when it was drained, and a moment in the middle of the play."""

    ledger_dsn: str
    store: Mapping[PlayerId, Remembered]
    middle_ms: int


def everybody() -> tuple[PlayerId, ...]:
    return (*PLAYERS, ONLOOKER, STRANGER)


async def play(money: Wallets, dice: random.Random) -> int:
    """Plays CALLS calls, some refused; drains twice. Returns when the first half was drained."""
    await money.open(ONLOOKER)
    for player in PLAYERS:
        await money.open(player)
        await money.open(player, USD, credit_line=500)
        await money.move(player, movement(TransactionKind.DEPOSIT, "start", 10**33 + 1), source="strict")
        await rare_turns(money, player)
    middle_ms = 0
    asked: defaultdict[tuple[str, str], list[Step]] = defaultdict(list)
    slips = {
        (player, source): SlipDealer(random.Random(f"{player} {source}"))
        for player in PLAYERS
        for source in SOURCES
    }
    for number in range(CALLS):
        player, source = dice.choice(PLAYERS), dice.choice(tuple(SOURCES))
        earlier = asked[player, source]
        steps = [some_step(dice, earlier) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
        with suppress(Refused):
            await money.move(player, *steps, source=source)
        with suppress(Refused):
            await money.move(player, *slips[player, source].some_steps(), source=source)
        if dice.random() < 0.02:
            await money.set_status(player, dice.choice((*WalletStatus, WalletStatus.ACTIVE)), USD)
        if number == CALLS // 2:
            await money.drain()
            await next_millisecond()
            middle_ms = await store_time_ms(money.valkey_url)
            await next_millisecond()
    await money.drain()
    return middle_ms


async def rare_turns(money: Wallets, player: PlayerId) -> None:
    """What dice hardly find: money that is owed and paid back, a round with less than no wins."""
    for step in (
        movement(TransactionKind.DEPOSIT, "gift", 10, USD),
        movement(TransactionKind.BET, "spent", 507, USD),
        rollback("gift-back", "gift"),
        movement(TransactionKind.DEPOSIT, "more", 12, USD),
        replace(movement(TransactionKind.WIN, "early", 3), reference="awaited"),
        movement(TransactionKind.BET, "awaited", 2, round_id="negative", game="slots"),
        rollback("early-back", "early"),
        place("slip", 5),
        void("voided", "slip"),
        reopen("reopened", "slip"),
        settle("settled", "slip", 9),
        unsettle("unsettled", "slip"),
        rollback("settled-again", "unsettled"),
        rollback("unsettled-again", "settled-again"),
    ):
        await money.move(player, step, source="lenient")


def some_step(dice: random.Random, asked: list[Step]) -> Step:
    """A step that may or may not be legal. It often refers to one of the last that were ``asked``."""
    name, of = (TransactionId(f"t{number}") for number in dice.sample(range(300), 2))
    currency = dice.choice((EUR, EUR, EUR, USD))
    kind = dice.choice(KINDS)
    settles = kind in {TransactionKind.WIN, TransactionKind.REFUND}
    fitting = [
        step
        for step in asked[-12:]
        if step.transaction_id != name and (not settles or step.kind is TransactionKind.BET)
    ]
    if fitting and dice.random() < 0.7:
        referred = dice.choice(fitting)
        of, currency = referred.transaction_id, referred.currency or currency
    round_id = dice.choice(("", f"r{dice.randrange(12)}"))
    amount = dice.choice((0, *range(1, 12)))
    step = rollback(name, of)
    if kind is TransactionKind.ROUND_CLOSING:
        step, round_id = close_round(name, ""), round_id or "r1"
    elif kind is not TransactionKind.ROLLBACK:
        reference = dice.choice((of, of, "")) if settles else dice.choice((of, "", ""))
        round_id = dice.choice(("", "", round_id)) if reference and settles else round_id
        step = replace(movement(kind, name, amount, currency), reference=reference)
        step = replace(step, closes_round=bool(round_id) and dice.random() < 0.1)
    elif dice.random() < 0.2:
        step = replace(step, amount=amount, currency=currency)
    asked.append(replace(step, round=round_id, game=dice.choice(("", "slots")) if round_id else ""))
    return asked[-1]


KINDS = (
    *(TransactionKind.BET,) * 6,
    *(TransactionKind.WIN,) * 4,
    *(TransactionKind.ROLLBACK,) * 4,
    TransactionKind.REFUND,
    TransactionKind.JACKPOT_WIN,
    TransactionKind.TIP,
    TransactionKind.DEPOSIT,
    TransactionKind.WITHDRAWAL,
    TransactionKind.ROUND_CLOSING,
)


async def store_time_ms(valkey_url: str) -> int:
    async with Redis.from_url(valkey_url) as store:
        seconds, microseconds = await store.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def remembered(valkey_url: str, player: PlayerId) -> Remembered:
    """A player's hashes, but for what the store alone says of a player's residence."""
    keys = player_keys(partition_of(player, PARTITION_COUNT), player)
    async with Redis.from_url(valkey_url, decode_responses=True) as store:
        texts = [await store.hgetall(key) for key in (keys.wallets, keys.ids, keys.rounds)]
    balances, ids, rounds = cast("list[dict[str, str]]", texts)
    balances.pop("", None)
    return Remembered(balances, ids, rounds)

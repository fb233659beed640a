"""What is left in the end: the ledger as SQL has it, and the wallets as the service shows them."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from persistence.slips import Slip
from tests.answers import Balance
from tests.faults.history import Id

SCALES = {"EUR": 2, "JPY": 0}
OPERATOR = "stakehold"

_ENTRIES = """
    SELECT partition, epoch, sequence, entry_index, entry_type, coalesce(operation, '') AS operation,
        player_id, source_id, transaction_id, coalesce(kind, '') AS kind,
        coalesce(currency, '') AS currency, amount,
        version, cash_change, bonus_change, held_change, receivable_change,
        cash_after, bonus_after, held_after, receivable_after, coalesce(outcome, '') AS outcome,
        coalesce(refusal_reason, '') AS refusal_reason, coalesce(game_id, '') AS game_id,
        coalesce(round_id, '') AS round_id, coalesce(reference_transaction_id, '') AS reference,
        coalesce(related_transaction_id, '') AS related, late, closes_round, coalesce(slip, '') AS slip,
        (extract(epoch FROM booked_time) * 1000)::bigint AS booked_ms
    FROM ledger.entries ORDER BY partition, chain_position
"""
_LOSSES = """
    SELECT player_id, source_id, transaction_id, entry_id FROM ledger.incidents
    WHERE kind = 'acknowledged_lost'
"""
_BOOKED_AGAIN = """
    SELECT player_id, source_id, transaction_id FROM ledger.incidents
    WHERE kind = 'history_forked' AND transaction_id IS NOT NULL
"""


_SLIPS = "SELECT player_id, source_id, slip_id FROM ledger.slips ORDER BY changed_time DESC LIMIT $1"
_DUE = "SELECT count(*) FROM ledger.slips WHERE state = 'held' AND expires_time <= now()"


class Wallet(NamedTuple):
    """Whose wallet, in which currency."""

    player: str
    currency: str


class SlipName(NamedTuple):
    """Whose slip, of which source."""

    player: str
    source: str
    slip_id: str


class Amounts(NamedTuple):
    """Minor units of each bucket: of a balance, or of a change."""

    cash: int = 0
    bonus: int = 0
    held: int = 0
    receivable: int = 0

    def plus(self, change: "Amounts") -> "Amounts":
        return Amounts(*(have + more for have, more in zip(self, change, strict=True)))

    def negated(self) -> "Amounts":
        return Amounts(*(-amount for amount in self))


NOTHING = Amounts()


class Place(NamedTuple):
    """Where an entry stands; of one partition, places are in the order of decision."""

    partition: int
    epoch: int
    sequence: int
    entry_index: int

    def __str__(self) -> str:
        return "-".join(map(str, self))

    @property
    def record(self) -> str:
        """The outbox record that the entry came in."""
        return record_of(str(self))


def record_of(entry_id: str) -> str:
    """An entry id without the entry's place in its record."""
    return entry_id.rpartition("-")[0]


class NamedLoss(NamedTuple):
    """What the service itself reports as acknowledged and lost: the id, and the record that is gone."""

    id: Id
    record: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger, in its words. ``version`` and ``after`` are only there for changes of a
    wallet, ``slip`` for those of a slip: as it was afterwards.
    """

    place: Place
    type: str
    operation: str
    player: str
    source: str
    transaction_id: str
    kind: str = ""
    currency: str = ""
    amount: int | None = None
    version: int | None = None
    change: Amounts = NOTHING
    after: Amounts | None = None
    outcome: str = ""
    refusal_reason: str = ""
    game: str = ""
    round: str = ""
    reference: str = ""
    related: str = ""
    late: bool = False
    closes_round: bool = False
    slip: str = ""
    booked_ms: int = 0

    @property
    def id(self) -> Id:
        return Id(self.player, self.source, self.transaction_id)

    @property
    def wallet(self) -> Wallet:
        return Wallet(self.player, self.currency)


@dataclass(slots=True)
class Books:
    """What is left of a run. ``booked_again`` are the ids that the service itself reports as cut off with the
    store that had them, and booked again one by one. ``hot_slips`` are versions as the service shows them;
    ``read_ms`` is when everything was read, as Unix time.
    """

    entries: Sequence[Entry]
    hot: dict[Wallet, tuple[int, Amounts]] = field(default_factory=dict)
    named_lost: frozenset[NamedLoss] = frozenset()
    booked_again: frozenset[Id] = frozenset()
    hot_slips: dict[SlipName, tuple[int, str]] = field(default_factory=dict)
    read_ms: int = 0

    def by_id(self) -> dict[Id, list[Entry]]:
        found: defaultdict[Id, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            found[entry.id].append(entry)
        return dict(found)

    def lives(self) -> dict[Wallet, list[Entry]]:
        """Each wallet's changes in the ledger's order."""
        found: defaultdict[Wallet, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            if entry.version is not None:
                found[entry.wallet].append(entry)
        return dict(found)

    def slips(self) -> dict[SlipName, list[tuple[Entry, Slip]]]:
        """Each slip's changes in the ledger's order, with what it was after each."""
        found: defaultdict[SlipName, list[tuple[Entry, Slip]]] = defaultdict(list)
        for entry in self.entries:
            if entry.slip:
                slip = Slip.parse(entry.slip)
                found[SlipName(entry.player, entry.source, slip.slip_id)].append((entry, slip))
        return dict(found)

    def states(self) -> dict[Wallet, dict[int, Amounts]]:
        """Each wallet's balance at each of its versions."""
        return {
            wallet: {entry.version: entry.after for entry in life if entry.version and entry.after}
            for wallet, life in self.lives().items()
        }


async def read_books(
    dsn: str,
    hot: dict[Wallet, tuple[int, Amounts]],
    hot_slips: dict[SlipName, tuple[int, str]] | None = None,
) -> Books:
    connection = await asyncpg.connect(dsn)
    try:
        entries = [_entry(row) for row in await connection.fetch(_ENTRIES)]
        losses = await connection.fetch(_LOSSES)
        again = await connection.fetch(_BOOKED_AGAIN)
    finally:
        await connection.close()
    return Books(
        entries,
        hot,
        frozenset(_named_loss(row) for row in losses),
        frozenset(Id(*row) for row in again),
        hot_slips or {},
        int(time.time() * 1000),
    )


async def slip_names(dsn: str, *, most: int) -> list[SlipName]:
    """The slips that were changed last."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(_SLIPS, most)
    finally:
        await connection.close()
    return [SlipName(*row) for row in rows]


async def due_count(dsn: str) -> int:
    """How many slips hold something past their time, as the ledger has them."""
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(_DUE))
    finally:
        await connection.close()


def amounts_of(balance: Balance) -> Amounts:
    """What a shown balance is in minor units."""
    return Amounts(
        *(
            minor_units(text, balance.currency)
            for text in (balance.cash, balance.bonus, balance.held, balance.receivable)
        )
    )


def minor_units(text: str, currency: str) -> int:
    """Of any decimal text, signed or not."""
    whole, _, decimals = text.removeprefix("-").partition(".")
    minor = int(whole + decimals.ljust(SCALES[currency], "0"))
    return -minor if text.startswith("-") else minor


def _named_loss(row: asyncpg.Record) -> NamedLoss:
    return NamedLoss(Id(row["player_id"], row["source_id"], row["transaction_id"]), row["entry_id"])


def _entry(row: asyncpg.Record) -> Entry:
    after = [row[f"{bucket}_after"] for bucket in Amounts._fields]
    return Entry(
        place=Place(row["partition"], row["epoch"], row["sequence"], row["entry_index"]),
        type=row["entry_type"],
        operation=row["operation"],
        player=row["player_id"],
        source=row["source_id"],
        transaction_id=row["transaction_id"],
        kind=row["kind"],
        currency=row["currency"],
        amount=None if row["amount"] is None else int(row["amount"]),
        version=row["version"],
        change=Amounts(*(int(row[f"{bucket}_change"]) for bucket in Amounts._fields)),
        after=None if row["version"] is None else Amounts(*map(int, after)),
        outcome=row["outcome"],
        refusal_reason=row["refusal_reason"],
        game=row["game_id"],
        round=row["round_id"],
        reference=row["reference"],
        related=row["related"],
        late=row["late"],
        closes_round=row["closes_round"],
        slip=row["slip"],
        booked_ms=row["booked_ms"],
    )

"""A player's rounds and newest transactions at one moment: from the store, and what it forgot, the ledger.

The store answers for whatever it has: that is newer than anything in the ledger. The rest is drained, or else
it would not have been forgotten, and is read from the ledger as it was at the same position. So nothing is
told twice, and nothing is missing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from persistence.calls import RoundRecord, TransactionRecord, TransactionState
from persistence.errors import DeadlineExceeded, RoundNotFound
from persistence.player_memory import Fields, Texts
from persistence.postgres.reading.rounds import RoundLedger, RoundName
from persistence.slips import SLIPS_IN_PLAY
from persistence.transactions import (
    SEPARATOR,
    CurrencyCode,
    EntryId,
    Operation,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletBalance,
)
from persistence.valkey.engine import Engine
from persistence.valkey.hot_memory import HotMemory
from persistence.valkey.records import decode_round, decode_transaction, transaction_fields

_SETTLES = frozenset((TransactionKind.WIN, TransactionKind.REFUND))


@dataclass(frozen=True, slots=True)
class Played:
    """A transaction of a source's, as it stands. ``wins`` is how many credits settle it that stand."""

    source: SourceId
    record: TransactionRecord
    wins: int = 0

    @property
    def stands(self) -> bool:
        return self.record.state is TransactionState.APPLIED

    @property
    def is_bet(self) -> bool:
        return self.record.operation is Operation.DEBIT and self.record.kind is TransactionKind.BET

    @property
    def is_slip_in_play(self) -> bool:
        slip = self.record.slip
        is_opener = slip is not None and slip.slip_id == self.record.transaction_id
        return is_opener and self.stands and slip is not None and slip.state in SLIPS_IN_PLAY

    @property
    def settles(self) -> bool:
        return self.record.operation is Operation.CREDIT and self.record.kind in _SETTLES


@dataclass(slots=True)
class RoundTotals:
    """What was moved in one currency and stands, in minor units. ``net`` is what the player won, signed."""

    currency: CurrencyCode
    bet_count: int = 0
    staked: int = 0
    win_count: int = 0
    won: int = 0
    late_count: int = 0
    late: int = 0
    net: int = 0

    def add(self, played: Played) -> None:
        amount = played.record.amount or 0
        if played.is_bet:
            self.bet_count += 1
            self.staked += amount
        elif played.settles:
            self.win_count += 1
            self.won += amount
            if played.record.late:
                self.late_count += 1
                self.late += amount
        self.net += amount if played.record.operation is Operation.CREDIT else -amount


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round with all its transactions, newest first."""

    record: RoundRecord
    transactions: tuple[Played, ...]

    @property
    def totals(self) -> list[RoundTotals]:
        """By currency."""
        totals: dict[CurrencyCode, RoundTotals] = {}
        for played in self.transactions:
            currency = played.record.currency
            if currency and played.stands and played.record.operation in {Operation.DEBIT, Operation.CREDIT}:
                totals.setdefault(currency, RoundTotals(currency)).add(played)
        return [totals[currency] for currency in sorted(totals)]

    @property
    def rollback_count(self) -> int:
        return sum(
            played.stands and played.record.operation is Operation.ROLLBACK for played in self.transactions
        )

    @property
    def unsettled_bet_count(self) -> int:
        """Bets that stand without a win of their own; a win that names no bet settles them all."""
        if self.record.unattributed_wins > 0:
            return 0
        return sum(played.is_bet and played.stands and played.wins <= 0 for played in self.transactions)


@dataclass(frozen=True, slots=True)
class OpenRounds:
    """Some open rounds. ``next_after`` is where the next ones begin, None where there are none."""

    rounds: tuple[RoundRecord, ...]
    next_after: RoundName | None


@dataclass(frozen=True, slots=True)
class Session:
    """All that a client needs to go on, of one moment.

    ``open_slips`` are what opened slips that are held or open. ``older_unknown`` where the ledger was not
    asked, though it may know more.
    """

    balances: tuple[WalletBalance, ...]
    open_rounds: tuple[RoundRecord, ...]
    more_open_rounds: bool
    open_slips: tuple[Played, ...]
    more_open_slips: bool
    transactions: tuple[Played, ...]
    older_unknown: bool


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is known of a player at a moment. Where store and ledger have a text, the store's counts."""

    player_id: PlayerId
    partition: int
    hot: HotMemory
    ids: Mapping[str, str] = field(default_factory=dict)
    rounds: Mapping[str, str] = field(default_factory=dict)

    def with_older(self, texts: Texts) -> "_Moment":
        hot = self.hot.texts
        ids, rounds = {**self.ids, **texts.ids, **hot.ids}, {**self.rounds, **texts.rounds, **hot.rounds}
        return replace(self, ids=ids, rounds=rounds)

    def open_rounds(self, source: str) -> list[RoundRecord]:
        found = (decode_round(field, text) for field, text in self.rounds.items())
        return [round_ for round_ in found if round_.is_open and source in ("", round_.source)]

    def played(self, source: str) -> list[Played]:
        """Newest first. Ids that are only awaited were not seen."""
        return sorted(self._played(source), key=_place, reverse=True)

    def _played(self, source: str) -> Iterator[Played]:
        for name, text in self.ids.items():
            of_source, _, transaction_id = name.partition(SEPARATOR)
            if source in ("", of_source):
                record = decode_transaction(
                    TransactionId(transaction_id), text, self.partition, dict(self.hot.wallets)
                )
                if record.state is not TransactionState.NOT_SEEN:
                    wins = transaction_fields(text)["wins"]
                    yield Played(SourceId(of_source), record, int(wins or 0))


class Rounds:
    """Reads rounds. Deadlines are in the event loop's time.

    Beside what each method names, all raise what reading a player does, and LedgerUnavailable where something
    was forgotten that has to be asked for.
    """

    def __init__(self, engine: Engine, ledger: RoundLedger) -> None:
        self._engine = engine
        self._ledger = ledger

    async def round(
        self, player_id: PlayerId, source: SourceId, game: str, round_: str, *, deadline: float
    ) -> RoundView:
        """A round and its transactions. Raises RoundNotFound."""
        moment = await self._moment(player_id, deadline)
        name = (source, game, round_)
        if not moment.hot.is_all:
            async with _until(deadline):
                older = await self._ledger.round(player_id, name, moment.hot.until)
            moment = moment.with_older(older)
        text = moment.rounds.get(SEPARATOR.join(name))
        if text is None:
            raise RoundNotFound(game, round_)
        return RoundView(
            decode_round(SEPARATOR.join(name), text),
            tuple(_of_round(moment.played(source), game, round_)),
        )

    async def open_rounds(
        self, player_id: PlayerId, source: str, *, after: RoundName, most: int, deadline: float
    ) -> OpenRounds:
        """Open rounds by name, of one source or, with "", of all."""
        moment = await self._moment(player_id, deadline)
        end: RoundName | None = None
        if not moment.hot.is_all:
            async with _until(deadline):
                found = await self._ledger.open_by_name(
                    player_id,
                    source=source,
                    after=after,
                    most=most,
                    partition=moment.partition,
                    until=moment.hot.until,
                )
            moment = moment.with_older(found.texts)
            end = None if found.is_last else found.names[-1]
        rounds = sorted(
            (
                round_
                for round_ in moment.open_rounds(source)
                if after < _name_of(round_) and (end is None or _name_of(round_) <= end)
            ),
            key=_name_of,
        )
        shown = tuple(rounds[:most])
        if len(shown) < len(rounds):
            return OpenRounds(shown, _name_of(shown[-1]))
        return OpenRounds(shown, end)

    async def resume(
        self,
        player_id: PlayerId,
        source: str,
        *,
        most_rounds: int,
        most_slips: int,
        most_transactions: int,
        recent_only: bool,
        deadline: float,
    ) -> Session:
        """Balances, open rounds, open slips and newest transactions, of one source or, with "", of all."""
        moment = await self._moment(player_id, deadline)
        is_last = True
        if not (moment.hot.is_all or recent_only):
            # What comes into play after this look is in the store's memory, and so in the moment to come.
            async with _until(deadline):
                in_play = await self._ledger.slips_in_play(player_id, source=source, most=most_slips + 1)
            moment = await self._moment(player_id, deadline)
            async with _until(deadline):
                moment, is_last = await self._with_older(moment, source, most_rounds, most_transactions)
                slips = await self._ledger.texts(player_id, Fields(ids=in_play), moment.hot.until)
            moment = moment.with_older(slips)
        played = moment.played(source)
        open_slips = [each for each in played if each.is_slip_in_play]
        rounds = sorted(moment.open_rounds(source), key=lambda round_: round_.used_ms, reverse=True)
        return Session(
            tuple(moment.hot.wallets.values()),
            tuple(rounds[:most_rounds]),
            len(rounds) > most_rounds or not is_last,
            tuple(open_slips[:most_slips]),
            len(open_slips) > most_slips,
            tuple(played[:most_transactions]),
            older_unknown=recent_only and not moment.hot.is_all,
        )

    async def _with_older(
        self, moment: _Moment, source: str, most_rounds: int, most_transactions: int
    ) -> tuple[_Moment, bool]:
        """And whether these are all open rounds.

        Transactions are asked for however many the store has: what was recalled may be old, while something
        newer is forgotten.
        """
        found = await self._ledger.open_by_use(
            moment.player_id,
            source=source,
            without=moment.hot.texts.rounds,
            most=most_rounds + 1,
            partition=moment.partition,
            until=moment.hot.until,
        )
        older = await self._ledger.newest_transactions(
            moment.player_id, source=source, most=most_transactions, until=moment.hot.until
        )
        # The newest come last: what they say of a round is all that there is of it, either way.
        return moment.with_older(found.texts).with_older(older), found.is_last

    async def _moment(self, player_id: PlayerId, deadline: float) -> _Moment:
        hot = await self._engine.read_memory(player_id, deadline=deadline)
        texts = hot.texts
        return _Moment(player_id, self._engine.partition_of(player_id), hot, texts.ids, texts.rounds)


@asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    """Raises DeadlineExceeded at the moment."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise DeadlineExceeded("the deadline passed while the ledger was asked") from None


def _of_round(transactions: list[Played], game: str, round_: str) -> Iterator[Played]:
    """Those that name the round, and those that settle or undo its bets and name none."""
    named = {
        played.record.transaction_id
        for played in transactions
        if (played.record.game, played.record.round) == (game, round_)
    }
    bets = {played.record.transaction_id for played in transactions if played.is_bet} & named
    settling = {
        played.record.transaction_id
        for played in transactions
        if not played.record.round and played.settles and played.record.reference in bets
    }
    mine = named | settling
    for played in transactions:
        undoes = played.record.operation is Operation.ROLLBACK and played.record.reference in mine
        if played.record.transaction_id in mine or undoes:
            yield played


def _name_of(round_: RoundRecord) -> RoundName:
    return round_.source, round_.game, round_.round


def _place(played: Played) -> EntryId:
    return EntryId.parse(played.record.entry_id)

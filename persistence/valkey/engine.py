"""The engine: every change of a wallet, and every read of one, is one script on the player's partition."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from lua import Script
from persistence.acknowledged import Acknowledged, AcknowledgedTail, Told
from persistence.calls import Call, PlayerView, RestoreOutcome, Step, StepResult
from persistence.errors import (
    IncarnationChanged,
    LedgerUnavailable,
    OutcomeUnknown,
    RefusalDetails,
    RefusalReason,
    Refused,
    StoreUnavailable,
    WalletNotFound,
)
from persistence.outbox import OutboxEntry
from persistence.tracing import current_call, part_of_call
from persistence.transactions import (
    TAKES,
    CurrencyCode,
    EntryId,
    EntryType,
    Operation,
    OutboxPosition,
    PlayerId,
    SourceId,
    TransactionId,
    WalletBalance,
    WalletStatus,
    partition_of,
)
from persistence.valkey.hot_memory import READ_MEMORY, HotMemory, read_memory
from persistence.valkey.hydration import Hydration
from persistence.valkey.keys import player_keys
from persistence.valkey.replies import (
    decode_player_reply,
    decode_restore_reply,
    decode_set_wallet_reply,
    decode_transact_reply,
)
from persistence.valkey.requests import (
    READ_PLAYER,
    RESTORE,
    SET_WALLET,
    TRANSACT,
    NoRates,
    RateOffers,
    Request,
    fingerprints,
    open_wallet_request,
    read_player_request,
    restore_request,
    set_status_request,
    transact_request,
)
from persistence.valkey.residence import LOAD_PLAYER, RECALL
from persistence.valkey.wallet_hints import WalletHints
from persistence.witness import Witness

SCRIPTS = (TRANSACT, SET_WALLET, READ_PLAYER, READ_MEMORY, RESTORE, LOAD_PLAYER, RECALL)

_MOST_RATES = 16
"""How often a script is told a rate in one call, beside that: each step may need one of its own."""

_DECIDED = (b"OK", b"REFUSED")
"""The words of the replies of ``transact`` that are answers."""

_MOST_ATTEMPTS = 10
"""How often a script is run until it neither lacks the player or an id, nor finds another store."""


class ScriptRunner(Protocol):
    """Runs a script where its keys are. ScriptBatcher is one."""

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None,
    ) -> Sequence[bytes]: ...

    def submit(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None,
    ) -> "asyncio.Future[Sequence[bytes]]": ...


End = tuple[StepResult, ...] | Exception
"""How a call ended: with a result for each step, or with what was raised."""

OnCallEnd = Callable[[Call, tuple[StepResult, ...] | BaseException], None]
"""Is told how a call ended; a cancellation means that nobody waited for its end."""


class Adoptions(Protocol):
    """Knows which store of a partition was taken over, and takes another one over where that is due."""

    def witness(self, partition: int) -> Witness | None:
        """None where the partition is fenced."""

    async def renew(self, partition: int, refused: Witness | None, *, deadline: float) -> Witness:
        """The witness to go on with, after the store refused one. Raises PartitionFenced."""


class Room(Protocol):
    """Knows which partitions have room for more. OutboxPressure is one."""

    def admit(self, partition: int, *, starts_play: bool) -> None:
        """Raises Overloaded where there is none for such a write."""

    def note(self, partition: int, position: OutboxPosition) -> None:
        """There is a record at the position."""


class Engine:
    """Applies calls to wallets.

    Deadlines are in the event loop's time. Beside what each method names, all raise PartitionFenced,
    StoreUnavailable, LedgerUnavailable, Overloaded and DeadlineExceeded (nothing was done) and
    OutcomeUnknown.
    """

    def __init__(
        self,
        runner: ScriptRunner,
        *,
        partition_count: int,
        adoptions: Adoptions,
        hydration: Hydration,
        rates: RateOffers | None = None,
        acknowledged: AcknowledgedTail | None = None,
        room: Room | None = None,
        on_call_end: OnCallEnd = lambda call, end: None,
    ) -> None:
        self._runner = runner
        self._partition_count = partition_count
        self._adoptions = adoptions
        self._hydration = hydration
        self._rates = rates or NoRates()
        self._wallet_hints = WalletHints()
        self._acknowledged = acknowledged
        self._room = room
        self._on_call_end = on_call_end
        self._second_tries: set[asyncio.Task[None]] = set()

    async def transact(self, call: Call, *, deadline: float) -> tuple[StepResult, ...]:
        """Applies all steps or none; one result for each. Raises Refused."""
        try:
            partition, request = self._prepare(call)
            reply = await self._ask(call.player_id, partition, request, deadline)
            results = self._read_answer(reply, call, partition, request)
        except BaseException as error:
            self._on_call_end(call, error)
            raise
        self._on_call_end(call, results)
        return results

    def begin(self, call: Call, on_end: Callable[[End], None], *, deadline: float) -> None:
        """As ``transact``, for one of many calls that come together: without a task of its own, unless the
        script has to be asked again. Tells ``on_end`` once how it ended; it runs to its end whoever is gone.

        Raises at once what ``transact`` raises before anything is sent.
        """
        try:
            self._begin(call, partial(self._tell, call, on_end), deadline)
        except Exception as error:
            self._on_call_end(call, error)
            raise

    def _tell(self, call: Call, on_end: Callable[[End], None], end: End) -> None:
        self._on_call_end(call, end)
        on_end(end)

    def _begin(self, call: Call, on_end: Callable[[End], None], deadline: float) -> None:
        partition, request = self._prepare(call)
        witness = self._adoptions.witness(partition)
        if witness is None:
            self._try_again(call, partition, request, on_end, deadline)
            return
        answer = self._runner.submit(
            request.script,
            tuple(player_keys(partition, call.player_id)),
            [str(witness), *request.arguments],
            deadline=deadline,
            incarnation=witness.incarnation,
        )

        def answered(answer: "asyncio.Future[Sequence[bytes]]") -> None:
            if answer.cancelled():
                on_end(OutcomeUnknown("the service is stopping"))
                return
            error = answer.exception()
            if error is None and answer.result()[0] in _DECIDED:
                on_end(self._end(answer.result(), call, partition, request))
            elif error is None or isinstance(error, IncarnationChanged):
                self._try_again(call, partition, request, on_end, deadline)
            else:
                on_end(error if isinstance(error, Exception) else OutcomeUnknown(str(error)))

        answer.add_done_callback(answered)

    def _try_again(
        self, call: Call, partition: int, request: Request, on_end: Callable[[End], None], deadline: float
    ) -> None:
        """The script did nothing, because something has to be done first: as ``transact`` does."""

        async def tried() -> None:
            try:
                reply = await self._ask(call.player_id, partition, request, deadline)
            except asyncio.CancelledError:
                on_end(OutcomeUnknown("the service is stopping"))
                raise
            except Exception as error:
                on_end(error)
            else:
                on_end(self._end(reply, call, partition, request))

        task = asyncio.get_running_loop().create_task(tried(), name="second-try")
        self._second_tries.add(task)
        task.add_done_callback(self._second_tries.discard)

    def _prepare(self, call: Call) -> tuple[int, Request]:
        partition = partition_of(call.player_id, self._partition_count)
        self._admit(partition, starts_play=any(step.operation in TAKES for step in call.steps))
        hint = self._wallet_hints.of(call.player_id)
        traced = current_call.get()
        trace = "" if traced is None else traced.context
        return partition, transact_request(call, self._rates, likely_wallet=hint, trace=trace)

    def _end(self, reply: Sequence[bytes], call: Call, partition: int, request: Request) -> End:
        try:
            return self._read_answer(reply, call, partition, request)
        except Exception as error:
            return error

    def _read_answer(
        self, reply: Sequence[bytes], call: Call, partition: int, request: Request
    ) -> tuple[StepResult, ...]:
        """Reads what the script decided, and remembers it. Raises Refused."""
        try:
            results = decode_transact_reply(reply, call, partition)
        except Refused as refusal:
            if refusal.details.entry_id:
                position = EntryId.parse(refusal.details.entry_id).position
                self._note_answer(call, partition, position, request, [EntryType.REFUSED] * len(call.steps))
            raise
        newest = max(map(_position, results))
        self._note_answer(call, partition, newest, request, map(_entry_type, call.steps, results))
        return results

    def _admit(self, partition: int, *, starts_play: bool) -> None:
        if self._room is not None:
            self._room.admit(partition, starts_play=starts_play)

    def _note_answer(
        self,
        call: Call,
        partition: int,
        position: OutboxPosition,
        request: Request,
        entry_types: Iterable[EntryType],
    ) -> None:
        """Remembers that the answer leaves, so that it is missed should the store lose it."""
        if self._room is not None:
            self._room.note(partition, position)
        if self._acknowledged is not None:
            told = map(Told, entry_types, fingerprints(request))
            ids = (step.transaction_id for step in call.steps)
            transactions = tuple(zip(ids, told, strict=True))
            answer = Acknowledged(position, call.player_id, call.source.source_id, transactions)
            self._acknowledged.add(partition, answer)

    async def open_wallet(
        self, player_id: PlayerId, currency: CurrencyCode, *, credit_line: int, deadline: float
    ) -> tuple[WalletBalance, bool]:
        """Opens a wallet; returns it, and whether it is new."""
        partition = partition_of(player_id, self._partition_count)
        self._admit(partition, starts_play=True)
        request = open_wallet_request(player_id, currency, credit_line=credit_line)
        reply = await self._ask(player_id, partition, request, deadline)
        wallet, created = decode_set_wallet_reply(reply, currency)
        if wallet is None or not isinstance(created, bool):
            raise RuntimeError(f"opening a wallet was refused: {created}")
        return wallet, created

    async def set_wallet_status(
        self,
        player_id: PlayerId,
        currency: CurrencyCode,
        status: WalletStatus,
        *,
        reason: str,
        expected_version: int | None,
        deadline: float,
    ) -> tuple[WalletBalance, bool]:
        """Sets a status; returns the wallet, and whether it changed. Raises WalletNotFound, and Refused for
        an expected version that is not the wallet's.
        """
        partition = partition_of(player_id, self._partition_count)
        self._admit(partition, starts_play=False)
        request = set_status_request(
            player_id, currency, status, reason=reason, expected_version=expected_version
        )
        reply = await self._ask(player_id, partition, request, deadline)
        wallet, changed = decode_set_wallet_reply(reply, currency)
        if wallet is None:
            raise WalletNotFound(player_id, currency)
        if isinstance(changed, RefusalReason):
            details = RefusalDetails(changed, TransactionId(""), 0, False, wallet, "", "")
            raise Refused(details, {"expected_version": str(expected_version)})
        return wallet, changed

    async def restore(self, player_id: PlayerId, entry: OutboxEntry, *, deadline: float) -> RestoreOutcome:
        """Books an entry that stands once more, with the wallet's next version, if its id is new.

        Nothing is checked but the id, and what it undoes: the wallet may end below its floor.
        """
        partition = partition_of(player_id, self._partition_count)
        reply = await self._ask(player_id, partition, restore_request(player_id, entry), deadline)
        return decode_restore_reply(reply)

    async def read_player(
        self,
        player_id: PlayerId,
        *,
        transaction: tuple[SourceId, TransactionId] | None = None,
        deadline: float,
    ) -> PlayerView:
        """All wallets of a player and, where asked for, what became of a transaction, at one moment."""
        partition = partition_of(player_id, self._partition_count)
        reply = await self._ask(player_id, partition, read_player_request(transaction), deadline)
        return decode_player_reply(reply, transaction[1] if transaction else None, partition)

    async def read_memory(self, player_id: PlayerId, *, deadline: float) -> HotMemory:
        """All that the store remembers of a player, at one moment."""
        partition = self.partition_of(player_id)
        return await read_memory(lambda request: self._ask(player_id, partition, request, deadline))

    def partition_of(self, player_id: PlayerId) -> int:
        return partition_of(player_id, self._partition_count)

    async def _ask(
        self, player_id: PlayerId, partition: int, request: Request, deadline: float
    ) -> Sequence[bytes]:
        """Runs the script, as often as it says that it did nothing because something has to be done first."""
        keys = tuple(player_keys(partition, player_id))
        refused: Witness | None = None
        attempts, rates = _MOST_ATTEMPTS, _MOST_RATES
        while attempts:
            attempts -= 1
            witness = self._adoptions.witness(partition)
            if witness is None or witness == refused:
                witness = await self._adoptions.renew(partition, refused, deadline=deadline)
            if request.offers is not None and attempts < _MOST_ATTEMPTS - 1:
                request.offers.renew()
            try:
                reply = await self._runner.run(
                    request.script,
                    keys,
                    [str(witness), *request.arguments],
                    deadline=deadline,
                    incarnation=witness.incarnation,
                )
                match reply[0]:
                    case b"MISS":
                        with part_of_call("ledger.load_player"):
                            await self._hydration.load(player_id, keys, witness, deadline=deadline)
                    case b"COLD":
                        with part_of_call("ledger.recall_id"):
                            await self._hydration.recall(
                                player_id, keys, witness, request, reply[1].decode(), deadline=deadline
                            )
                    case b"RATE" if request.offers is not None:
                        if rates:
                            attempts, rates = attempts + 1, rates - 1
                        wallet_currency = reply[1].decode()
                        self._wallet_hints.learn(player_id, wallet_currency)
                        request.offers.offer_asked(wallet_currency, int(reply[2]))
                    case b"UNCHECKED":
                        raise LedgerUnavailable("an id may be an old one, and the ledger cannot be asked")
                    case b"FENCED":
                        refused = witness
                    case _:
                        return reply
            except IncarnationChanged:
                refused = witness
        raise StoreUnavailable(f"partition {partition} did not come to rest; nothing was done")


def _position(result: StepResult) -> OutboxPosition:
    return EntryId.parse(result.entry_id).position


def _entry_type(step: Step, result: StepResult) -> EntryType:
    """What the ledger has, or will have, of a step that was not refused."""
    if step.operation is Operation.CLOSE_ROUND:
        return EntryType.ROUND_CLOSED
    return EntryType.NO_MOVEMENT if result.balance_after is None else EntryType.APPLIED


def deadline_after(seconds: float) -> float:
    """The moment, in the running loop's time, so many seconds from now."""
    return asyncio.get_running_loop().time() + seconds

"""Writes calls as the scripts read them: the other side of ``lua/includes/steps.lua``."""

import json
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from fx.rate_locks import RateLock, Side
from lua import Script, load_script
from persistence.calls import Call, ForeignCurrencyPolicy, Step
from persistence.errors import RefusalReason
from persistence.outbox import OutboxEntry, entry_texts
from persistence.transactions import (
    ON_SLIPS,
    OPERATOR_SOURCE,
    SEPARATOR,
    TAKES,
    CurrencyCode,
    Operation,
    OutboxPosition,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletStatus,
)

TRANSACT = load_script("transact")
SET_WALLET = load_script("set_wallet")
RESTORE = load_script("restore")
READ_PLAYER = load_script("read_player")

_DIGEST_BYTES = 16
_FINGERPRINT_CHARACTERS = 22  # base64 without its padding
_FIRST_STEP, _STEP_FIELDS, _FINGERPRINT, _OFFER = 10, 19, 3, 16
"""Where steps begin in the arguments of ``transact``, how many fields each has, and where two of them are."""

_ABSENT_SEPARATOR = "\x1e"
_UNCHECKED = "unchecked"

_WAITS_FOR_THE_LEDGER = frozenset(
    (
        TransactionKind.DEPOSIT,
        TransactionKind.WITHDRAWAL,
        TransactionKind.BONUS,
        TransactionKind.CORRECTION,
        TransactionKind.EXCHANGE,
    )
)
"""Kinds that are not applied on the chance that their id is new: nobody plays on with what they move."""

_WAITING = ON_SLIPS | {Operation.HOLD, Operation.PLACE}
"""Operations of which the same is so: whoever settles or reserves can wait."""

_CONVERTS = TAKES | {Operation.CREDIT}
"""What else there is has its rate from what it refers to."""


@dataclass(frozen=True, slots=True)
class Recallable:
    """What a script may look for and the store may have forgotten: fields of the player's ids and rounds.

    While the ledger is away those in ``may_go_unchecked`` may be taken as new; a late duplicate that slips in
    like this is reversed when it is drained.
    """

    ids: tuple[str, ...] = ()
    rounds: tuple[str, ...] = ()
    may_go_unchecked: tuple[str, ...] = ()


class RateOffers(Protocol):
    """Knows the rates of now. service.rates.Rates is one."""

    def offer(self, currency: str, wallet_currency: str, *, side: Side, player_group: str) -> str:
        """Wallet currency, its status, and a rate lock or "!" with a reason, with ";" between them."""


def quoted_offer(lock: RateLock, *, wallet_currency_status: str, expires_ms: int) -> str:
    """What a quote promises until then, by the store's clock, Unix milliseconds."""
    return f"{lock.wallet_currency};{wallet_currency_status};{lock};{expires_ms}"


class NoRates:
    """Where nothing is ever converted."""

    def offer(self, currency: str, wallet_currency: str, *, side: Side, player_group: str) -> str:
        return f"{wallet_currency};enabled;!{RefusalReason.RATE_UNKNOWN}"


@dataclass(frozen=True, slots=True)
class Request:
    """What a script is asked. ``arguments`` come after the witness.

    ``arguments[absent_at]`` tells the script what the ledger does not have either; ``missed`` is what it has
    asked for so far. ``offers`` tell it the rates of now.
    """

    script: Script
    arguments: list[str]
    recallable: Callable[[], Recallable]
    absent_at: int = 0
    missed: list[str] = field(default_factory=list)
    offers: "Offers | None" = None

    def tell_absent(self, cursor: OutboxPosition, fields: Iterable[str]) -> None:
        """The ledger, drained up to the cursor, does not have these."""
        self._tell(str(cursor), fields)

    def tell_unchecked(self, fields: Iterable[str]) -> None:
        """The ledger is away, and these are taken as new."""
        self._tell(_UNCHECKED, fields)

    def _tell(self, how: str, fields: Iterable[str]) -> None:
        self.arguments[self.absent_at] = _ABSENT_SEPARATOR.join((how, *fields))


def transact_request(call: Call, rates: RateOffers, *, likely_wallet: str = "", trace: str = "") -> Request:
    """Applies a call. ``likely_wallet`` is the currency that amounts in others are likely to become, should
    they have to; ``trace`` the traceparent that goes with the outbox record of a traced call.
    """
    arguments = transact_arguments(call)
    if trace:
        arguments.append(trace)
    offers = Offers(call, rates, arguments)
    offers.offer_likely(likely_wallet)
    return Request(TRANSACT, arguments, lambda: _recallable_of(call), absent_at=9, offers=offers)


@dataclass(frozen=True, slots=True)
class Offers:
    """Puts the rates of now into a call's arguments."""

    call: Call
    rates: RateOffers
    arguments: list[str]
    wallets: dict[int, str] = field(default_factory=dict)
    """The wallets' currencies that rates were offered into, by the steps' indices."""

    def offer_likely(self, wallet_currency: str) -> None:
        """For steps that name their wallet, and for all others one that is likely; "" where none is."""
        for index, step in enumerate(self.call.steps):
            if step.wallet_currency or wallet_currency:
                self._offer(index, step, step.wallet_currency or wallet_currency)

    def renew(self) -> None:
        """What was offered some time ago may have become stale."""
        for index, wallet_currency in self.wallets.items():
            self._offer(index, self.call.steps[index], wallet_currency)

    def offer_asked(self, wallet_currency: str, step_index: int) -> None:
        """For a step, and for those whose wallets are not known either."""
        for index, step in enumerate(self.call.steps):
            is_open = not (step.wallet_currency or self.arguments[_offer_at(index)])
            if index == step_index or is_open:
                self._offer(index, step, wallet_currency)

    def _offer(self, index: int, step: Step, wallet_currency: str) -> None:
        if step.operation not in _CONVERTS or step.offer or step.currency in (None, wallet_currency):
            return
        self.wallets[index] = wallet_currency
        side = Side.PAID if step.operation in TAKES else Side.RECEIVED
        self.arguments[_offer_at(index)] = self.rates.offer(
            step.currency, wallet_currency, side=side, player_group=self.call.player_group
        )


def _offer_at(index: int) -> int:
    return _FIRST_STEP + index * _STEP_FIELDS + _OFFER


def fingerprints(request: Request) -> list[str]:
    """Those of a transact request's steps."""
    return request.arguments[_FIRST_STEP + _FINGERPRINT :: _STEP_FIELDS]


def _recallable_of(call: Call) -> Recallable:
    source_id, steps = call.source.source_id, call.steps
    own = tuple(id_field(source_id, step.transaction_id) for step in steps)
    references = tuple(id_field(source_id, TransactionId(step.reference)) for step in steps if step.reference)
    rounds = tuple(round_field(source_id, step.game, step.round) for step in steps if step.round)
    bet_rounds = tuple(
        round_field(source_id, step.game, step.round)
        for step in steps
        if step.round and step.operation is Operation.DEBIT and not _may_convert(call, step)
    )
    waits = any(step.kind in _WAITS_FOR_THE_LEDGER or step.operation in _WAITING for step in steps)
    return Recallable((*own, *references), rounds, () if waits else (*own, *bet_rounds))


def _may_convert(call: Call, step: Step) -> bool:
    """Then the rate that its round has locked has to be known."""
    if step.wallet_currency is None:
        return call.source.foreign_currency is ForeignCurrencyPolicy.CONVERT
    return step.wallet_currency != step.currency


def read_player_request(transaction: tuple[SourceId, TransactionId] | None) -> Request:
    """Reads a player's wallets, and what became of a transaction."""
    ids = (id_field(*transaction),) if transaction else ()
    return Request(READ_PLAYER, ["".join(ids), ""], lambda: Recallable(ids), absent_at=1)


def open_wallet_request(player_id: PlayerId, currency: CurrencyCode, *, credit_line: int) -> Request:
    """Opens a wallet."""
    return _set_wallet(player_id, "open", currency, WalletStatus.ACTIVE, credit_line=credit_line)


def set_status_request(
    player_id: PlayerId,
    currency: CurrencyCode,
    status: WalletStatus,
    *,
    reason: str,
    expected_version: int | None,
) -> Request:
    """Sets a wallet's status."""
    return _set_wallet(
        player_id,
        "set_status",
        currency,
        status,
        expected_version=expected_version,
        metadata=json.dumps({"reason": reason}) if reason else "",
    )


def restore_request(player_id: PlayerId, entry: OutboxEntry) -> Request:
    """Books an entry once more."""
    named = [entry.transaction_id, *([TransactionId(entry.reference)] if entry.reference else [])]
    ids = tuple(id_field(entry.source, transaction_id) for transaction_id in named)
    rounds = (round_field(entry.source, entry.game, entry.round),) if entry.round else ()
    return Request(
        RESTORE, [player_id, "", *entry_texts(entry)], lambda: Recallable(ids, rounds), absent_at=1
    )


def _set_wallet(
    player_id: PlayerId,
    operation: str,
    currency: CurrencyCode,
    status: WalletStatus,
    *,
    credit_line: int = 0,
    expected_version: int | None = None,
    metadata: str = "",
) -> Request:
    return Request(
        SET_WALLET,
        [
            player_id,
            OPERATOR_SOURCE,
            operation,
            currency,
            status,
            str(credit_line),
            "" if expected_version is None else str(expected_version),
            metadata,
        ],
        Recallable,
    )


def fingerprint_of(player_id: PlayerId, step: Step) -> str:
    """What identifies a step's payload: two steps with one id must have the same. 22 characters.

    Covers operation, kind, player, currency, amount, game, round, reference and, where it names one, the
    wallet; not what a retry may change. The text under the digest is unambiguous, as no part can contain the
    separator.
    """
    parts = [
        step.operation,
        step.kind or "",
        player_id,
        step.currency or "",
        "" if step.amount is None else str(step.amount),
        step.game,
        step.round,
        step.reference,
    ]
    if step.wallet_currency:
        parts.append(step.wallet_currency)
    if step.terms is not None:
        parts.append(step.terms.identity)
    payload = SEPARATOR.join(parts)
    digest = blake2b(payload.encode(), digest_size=_DIGEST_BYTES).digest()
    return b2a_base64(digest, newline=False)[:_FINGERPRINT_CHARACTERS].decode("ascii")


def id_field(source_id: SourceId, transaction_id: TransactionId) -> str:
    """The field of a transaction id in the player's hash of ids."""
    return f"{source_id}{SEPARATOR}{transaction_id}"


def round_field(source_id: SourceId, game: str, round_: str) -> str:
    """The field of a round in the player's hash of rounds."""
    return f"{source_id}{SEPARATOR}{game}{SEPARATOR}{round_}"


def transact_arguments(call: Call) -> list[str]:
    """ARGV of the script ``transact``, but for the witness in front."""
    source = call.source
    arguments: list[str] = [
        call.player_id,
        source.source_id,
        source.settled_rollback,
        source.unknown_bet,
        source.late_win,
        source.shortfall,
        source.zero_amount,
        source.status,
        str(len(call.steps)),
        "",
    ]
    for step in call.steps:
        arguments += (
            step.operation,
            step.kind or "",
            step.transaction_id,
            fingerprint_of(call.player_id, step),
            step.currency or "",
            "" if step.amount is None else str(step.amount),
            step.currency_status,
            step.game,
            step.round,
            step.reference,
            "1" if step.closes_round else "",
            "" if step.expected_version is None else str(step.expected_version),
            "" if step.occurred_ms is None else str(step.occurred_ms),
            step.metadata,
            step.wallet_currency or "",
            "1" if source.foreign_currency is ForeignCurrencyPolicy.CONVERT else "",
            step.offer,
            "" if step.terms is None else str(step.terms),
            step.session_fault or "",
        )
    return arguments

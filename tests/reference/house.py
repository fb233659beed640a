"""All players, currencies and sources: what one deployment of the service knows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.reference.amounts import minor_units
from tests.reference.answers import (
    CallRefused,
    Lookup,
    Malformed,
    Opened,
    Refusal,
    Result,
    State,
    StatusSet,
    Wallet,
)
from tests.reference.attempt import Attempt, PricedStep
from tests.reference.closings import close_round
from tests.reference.player import Player
from tests.reference.policies import Policies
from tests.reference.records import AnsweredRollback, Applied, Closing, Refused, Tombstone
from tests.reference.steps import CREDIT_KINDS, DEBIT_KINDS, Debit, Money, Rollback, Step

MAX_STEPS = 16


@dataclass(slots=True)
class Currency:
    """How many decimals its amounts have, and whether it takes part in play."""

    scale: int
    status: str = "ENABLED"


@dataclass(slots=True)
class House:
    """The reference wallet service. Callers put currencies and policies straight into it."""

    currencies: dict[str, Currency] = field(default_factory=dict)
    sources: dict[str, Policies] = field(default_factory=dict)
    players: dict[str, Player] = field(default_factory=dict)

    def open_wallet(self, player_id: str, currency: str, *, credit_line: str = "0") -> Opened:
        """Raises Malformed, also for a disabled currency: no transaction is refused here."""
        line = self._minor_units(Money(currency, credit_line))
        if self.currencies[currency].status == "DISABLED":
            raise Malformed("CURRENCY_DISABLED")
        wallets = self._player(player_id).wallets
        if currency in wallets:
            return Opened(wallets[currency], created=False)
        wallets[currency] = Wallet(currency, 1, "ACTIVE", 0, 0, line)
        return Opened(wallets[currency], created=True)

    def set_wallet_status(
        self, player_id: str, currency: str, *, status: str, expected_version: int | None = None
    ) -> StatusSet:
        if currency not in self.currencies:
            raise Malformed("CURRENCY_UNKNOWN")
        wallets = self._player(player_id).wallets
        if currency not in wallets:
            raise Malformed("WALLET_NOT_FOUND")
        wallet = wallets[currency]
        if expected_version not in (None, wallet.version):
            raise Malformed("VERSION_MISMATCH")
        if wallet.status == status:
            return StatusSet(wallet, changed=False)
        wallets[currency] = replace(wallet, status=status, version=wallet.version + 1)
        return StatusSet(wallets[currency], changed=True)

    def wallets(self, player_id: str) -> list[Wallet]:
        """Ordered by currency code; none for a player who has none."""
        return sorted(self._player(player_id).wallets.values(), key=lambda wallet: wallet.currency)

    def transact(self, source_id: str, player_id: str, steps: Sequence[Step]) -> list[Result]:
        """Raises Malformed or CallRefused."""
        priced = self._price(player_id, steps)
        if source_id not in self.sources:
            raise Malformed("SOURCE_NOT_FOUND")
        before = self._player(player_id)
        statuses = {code: currency.status for code, currency in self.currencies.items()}
        attempt = Attempt(source_id, self.sources[source_id], statuses, priced, before, before.copy())
        try:
            results = attempt.run()
        except CallRefused as refused:
            _remember_refusal(before, source_id, priced, refused.refusal)
            raise
        self.players[player_id] = attempt.player
        return results

    def close_round(
        self, source_id: str, player_id: str, transaction_id: str, *, round_id: str, game_id: str
    ) -> Result:
        """Raises Malformed or CallRefused."""
        if not round_id:
            raise Malformed("INVALID_FIELD")
        if source_id not in self.sources:
            raise Malformed("SOURCE_NOT_FOUND")
        player = self._player(player_id)
        return close_round(player, source_id, transaction_id, round_id=round_id, game_id=game_id)

    def transaction(self, source_id: str, player_id: str, transaction_id: str) -> Lookup:
        """What became of an id."""
        record = self._player(player_id).records.get((source_id, transaction_id))
        match record:
            case None:
                return Lookup(State.NOT_SEEN)
            case Tombstone():
                return Lookup(State.TOMBSTONED, rollback_transaction_id=record.rollback_transaction_id)
            case Refused():
                return Lookup(State.REFUSED, _kind(record.step), refusal=record.refusal)
            case AnsweredRollback():
                return Lookup(State.APPLIED, _kind(record.step), result=record.result)
            case Closing():
                result = Result(transaction_id, record.outcome, moved=False)
                return Lookup(State.APPLIED, "ROUND_CLOSING", result=result)
            case Applied():
                state = State.APPLIED if record.live else State.ROLLED_BACK
                return Lookup(
                    state,
                    record.step.kind,
                    result=record.result,
                    rollback_transaction_id=record.rolled_back_by,
                )

    def _player(self, player_id: str) -> Player:
        return self.players.setdefault(player_id, Player(player_id))

    def _price(self, player_id: str, steps: Sequence[Step]) -> list[PricedStep]:
        if not 1 <= len(steps) <= MAX_STEPS:
            raise Malformed("INVALID_FIELD")
        return [self._priced(player_id, step) for step in steps]

    def _priced(self, player_id: str, step: Step) -> PricedStep:
        if isinstance(step, Rollback):
            if step.transaction_id == step.original_transaction_id:
                raise Malformed("INVALID_FIELD")
            operation, kind, reference = "ROLLBACK", "ROLLBACK", step.original_transaction_id
        else:
            operation, kinds = ("DEBIT", DEBIT_KINDS) if isinstance(step, Debit) else ("CREDIT", CREDIT_KINDS)
            if step.kind not in kinds:
                raise Malformed("INVALID_FIELD")
            kind, reference = step.kind, step.reference_transaction_id
        amount = None if step.money is None else self._minor_units(step.money)
        currency = "" if step.money is None else step.money.currency
        fingerprint = (operation, kind, currency, amount, step.round_id, step.game_id, reference)
        return PricedStep(step, amount, fingerprint)

    def _minor_units(self, money: Money) -> int:
        if money.currency not in self.currencies:
            raise Malformed("CURRENCY_UNKNOWN")
        amount = minor_units(money.amount, self.currencies[money.currency].scale)
        if amount is None:
            raise Malformed("INVALID_FIELD")
        return amount


def _remember_refusal(player: Player, source_id: str, steps: Sequence[PricedStep], refusal: Refusal) -> None:
    """Under every id that is new in the call; the first step that carries an id decides its fingerprint."""
    if refusal.replayed or not refusal.remembered:
        return
    for index, priced in enumerate(steps):
        transaction_id = priced.step.transaction_id
        if (source_id, transaction_id) in player.records:
            continue
        own = refusal
        if transaction_id != refusal.transaction_id:
            own = replace(
                refusal,
                transaction_id=transaction_id,
                step_index=index,
                looked_at_wallet=False,
                balance=player.wallet_of(source_id, priced.step),
                related=frozenset({refusal.transaction_id}),
            )
        player.records[source_id, transaction_id] = Refused(priced.step, priced.fingerprint, own)


def _kind(step: Step) -> str:
    return "ROLLBACK" if isinstance(step, Rollback) else step.kind

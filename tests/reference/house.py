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
from tests.reference.attempt import Attempt
from tests.reference.closings import close_round
from tests.reference.draft import PricedStep
from tests.reference.player import Player
from tests.reference.policies import Policies
from tests.reference.records import AnsweredRollback, Applied, Closing, Refused, Tombstone
from tests.reference.slips import ShownSlip
from tests.reference.steps import (
    CHANGE_KINDS,
    CREDIT_KINDS,
    DEBIT_KINDS,
    HOLD_KINDS,
    NAMES_AN_AMOUNT,
    Credit,
    Debit,
    Money,
    Rollback,
    SlipChange,
    SlipOpening,
    Step,
)

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
    now_s: float = 0.0
    """What holds' deadlines are compared with."""

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
        priced = self._price(steps)
        if source_id not in self.sources:
            raise Malformed("SOURCE_NOT_FOUND")
        before = self._player(player_id)
        statuses = {code: currency.status for code, currency in self.currencies.items()}
        policies = self.sources[source_id]
        attempt = Attempt(source_id, policies, statuses, priced, before, before.copy(), self.now_s)
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

    def slip(self, source_id: str, player_id: str, slip_id: str) -> ShownSlip | None:
        """The slip as it is now, if it was opened."""
        slip = self._player(player_id).slips.get((source_id, slip_id))
        return None if slip is None else slip.shown

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
                return Lookup(
                    State.APPLIED if record.live else State.ROLLED_BACK,
                    _kind(record.step),
                    result=record.result,
                    rollback_transaction_id=record.rolled_back_by,
                )
            case Closing():
                result = Result(transaction_id, record.outcome, moved=False)
                return Lookup(State.APPLIED, "ROUND_CLOSING", result=result)
            case Applied():
                state = State.APPLIED if record.live else State.ROLLED_BACK
                return Lookup(
                    state,
                    record.kind,
                    result=record.result,
                    rollback_transaction_id=record.rolled_back_by,
                )

    def _player(self, player_id: str) -> Player:
        return self.players.setdefault(player_id, Player(player_id))

    def _price(self, steps: Sequence[Step]) -> list[PricedStep]:
        if not 1 <= len(steps) <= MAX_STEPS:
            raise Malformed("INVALID_FIELD")
        return [self.price(step) for step in steps]

    def price(self, step: Step) -> PricedStep:
        """The step with its amounts as integers. Raises Malformed."""
        currency = "" if step.money is None else step.money.currency
        amount = None if step.money is None else self._minor_units(step.money)
        match step:
            case Rollback():
                if step.transaction_id == step.original_transaction_id:
                    raise Malformed("INVALID_FIELD")
                place = (step.round_id, step.game_id, step.original_transaction_id)
                return PricedStep(step, amount, ("ROLLBACK", "ROLLBACK", currency, amount, *place))
            case Debit() | Credit():
                operation, kinds = (
                    ("DEBIT", DEBIT_KINDS) if isinstance(step, Debit) else ("CREDIT", CREDIT_KINDS)
                )
                if step.kind not in kinds:
                    raise Malformed("INVALID_FIELD")
                place = (step.round_id, step.game_id, step.reference_transaction_id)
                return PricedStep(step, amount, (operation, step.kind, currency, amount, *place))
            case SlipOpening():
                if step.kind not in HOLD_KINDS or not amount:
                    raise Malformed("INVALID_FIELD")
                return PricedStep(
                    step, amount, (step.operation, step.kind, currency, amount, "", step.game_id, "")
                )
            case SlipChange():
                return self._priced_change(step, currency, amount)

    def _priced_change(self, step: SlipChange, currency: str, amount: int | None) -> PricedStep:
        stake = None if step.stake is None else self._minor_units(step.stake)
        other_currency = step.stake is not None and step.stake.currency != currency
        if step.transaction_id == step.slip_id or stake == 0 or other_currency:
            raise Malformed("INVALID_FIELD")
        if amount is None and step.operation in NAMES_AN_AMOUNT:
            raise Malformed("INVALID_FIELD")
        terms = (step.is_last, stake)
        return PricedStep(
            step, amount, (step.operation, "", currency, amount, "", "", step.slip_id, *terms), stake
        )

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
    if isinstance(step, Rollback):
        return "ROLLBACK"
    return CHANGE_KINDS[step.operation] if isinstance(step, SlipChange) else step.kind

"""Everything that is known about one player, and the questions that the rules ask of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.reference.answers import Wallet
from tests.reference.records import AnsweredRollback, Applied, Record, Refused, RoundKey
from tests.reference.slips import Slip
from tests.reference.steps import Credit, Rollback, Step

SourceAndId = tuple[str, str]
SourceAndRound = tuple[str, RoundKey]


@dataclass(frozen=True, slots=True)
class Player:
    """A copy shares nothing that changes: records and wallets are replaced, never edited."""

    player_id: str
    wallets: dict[str, Wallet] = field(default_factory=dict)
    records: dict[SourceAndId, Record] = field(default_factory=dict)
    closed_rounds: set[SourceAndRound] = field(default_factory=set)
    slips: dict[SourceAndId, Slip] = field(default_factory=dict)

    def copy(self) -> "Player":
        return Player(
            self.player_id,
            dict(self.wallets),
            dict(self.records),
            set(self.closed_rounds),
            dict(self.slips),
        )

    def applied(self, source_id: str) -> Iterator[tuple[str, Applied]]:
        """Debits and credits of a source that were applied, also those rolled back since."""
        for (source, transaction_id), record in self.records.items():
            if source == source_id and isinstance(record, Applied):
                yield transaction_id, record

    def bets_of_round(self, source_id: str, round_key: RoundKey) -> list[Applied]:
        return [
            record for _, record in self.applied(source_id) if record.is_bet and record.round == round_key
        ]

    def live_wins_of_bet(self, source_id: str, transaction_id: str) -> set[str]:
        """The ids of credits that stand and settle the bet: by its id, or by its round alone."""
        bet = self.records[source_id, transaction_id]
        assert isinstance(bet, Applied)
        return {
            credit_id
            for credit_id, credit in self.applied(source_id)
            if isinstance(credit.step, Credit)
            and credit.settles
            and credit.live
            and _settles_bet(credit, credit.step, transaction_id, bet.round)
        }

    def wallet_of(self, source_id: str, step: Step) -> Wallet | None:
        """The wallet that a step is about: for a rollback its original's, if that is known."""
        if not isinstance(step, Rollback):
            return self.wallets.get(step.money.currency) if step.money else None
        record = self.records.get((source_id, step.original_transaction_id))
        if isinstance(record, Applied | AnsweredRollback) and record.currency:
            return self.wallets[record.currency]
        if isinstance(record, Applied | Refused) and record.step.money is not None:
            return self.wallets.get(record.step.money.currency)
        return None


def _settles_bet(credit: Applied, step: Credit, bet_id: str, bet_round: RoundKey | None) -> bool:
    if step.reference_transaction_id:
        return step.reference_transaction_id == bet_id
    return bet_round is not None and credit.round == bet_round


def round_of(step_round_id: str, step_game_id: str) -> RoundKey | None:
    return (step_game_id, step_round_id) if step_round_id else None

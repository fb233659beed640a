"""Random evenings of bets, wins and rounds."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.answers import Done
from tests.property import strategies as having
from tests.property.beside import BesideTheReference, Call
from tests.reference import CallRefused, Step
from tests.reference.amounts import decimal_text
from tests.steps import bet, closing, credit, deposit, rollback, win


class WalletMachine(BesideTheReference):
    """Whatever can be done without slips."""

    sent = BesideTheReference.sent

    @rule(target=sent, player=having.players, steps=having.calls, singly=st.booleans())
    def call(self, player: str, steps: list[Step], *, singly: bool) -> Call:
        call = Call(self.source, player, [self._with_current_version(player, step) for step in steps])
        self._call(call, singly=singly)
        return call

    @rule(
        target=sent,
        player=having.players,
        round_id=st.sampled_from(["r1", "its own"]),
        closes=st.sampled_from(["", "", "bet", "win"]),
        undone=st.sampled_from(["", "bet and win", "win and bet", "bet", "win"]),
        by_round=st.booleans(),
        in_one_call=st.booleans(),
    )
    def play_a_round(
        self, player: str, round_id: str, closes: str, undone: str, *, by_round: bool, in_one_call: bool
    ) -> Call:
        number = self._next_number()
        if round_id == "its own":
            round_id = f"r{number}"
        stake = bet(f"bet{number}", "10", round_id=round_id, game_id="g1")
        reference = "" if by_round else stake.transaction_id
        result = win(f"win{number}", "25", round_id=round_id, game_id="g1", of=reference)
        steps = [
            closing(stake) if closes == "bet" else stake,
            closing(result) if closes == "win" else result,
        ]
        call = Call(self.source, player, steps)
        for part in [steps] if in_one_call else [[step] for step in steps]:
            self._call(replace(call, steps=part))
        if undone:
            words = undone.split(" and ")
            self._call(
                replace(call, steps=[rollback(f"un{word}{number}", f"{word}{number}") for word in words])
            )
        return call

    @rule(target=sent, player=having.players)
    def lose_a_credit_that_was_spent(self, player: str) -> Call:
        number = self._next_number()
        prize = credit(f"prize{number}", "PROMOTIONAL_WIN", "30")
        call = Call(self.source, player, [prize])
        self._call(call)
        cash = self.house.players[player].wallets["EUR"].cash
        if cash > 0:
            self._call(replace(call, steps=[bet(f"all{number}", decimal_text(cash, 2))]))
        self._call(replace(call, steps=[rollback(f"unprize{number}", prize.transaction_id)]))
        topping_up = replace(call, steps=[deposit(f"more{number}", "20")])
        self._call(topping_up)
        return topping_up

    @rule(player=having.players, transaction_id=having.ids, named=having.rounds)
    def close_round(self, player: str, transaction_id: str, named: tuple[str, str]) -> None:
        scope, (round_id, game_id) = (self.source, player), named

        def send() -> Done:
            return self.api.close_round(
                self.source, self.players[player], transaction_id, round_id=round_id, game_id=game_id
            )

        try:
            expected = self.house.close_round(*scope, transaction_id, round_id=round_id, game_id=game_id)
        except CallRefused as refusal:
            self.agreement.require_refusal(scope, refusal.refusal, self._require_refused(send))
        else:
            self.agreement.require_results(scope, [expected], [send()])

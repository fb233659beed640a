"""The service beside the reference: the same calls to both, and every reply compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from stakehold.v1 import error_reason_pb2, transaction_pb2
from stakehold.v1 import wallet_service_pb2 as pb
from tests.agreement import Agreement, code_of
from tests.answers import Refused, read_balance, read_result
from tests.property import strategies as having
from tests.reference import (
    CallRefused,
    Currency,
    House,
    Lookup,
    Malformed,
    Policies,
    Step,
    Wallet,
)
from tests.steps import bet, deposit, rollback, win
from tests.wallet_api import BlockingWalletApi, new_name

PLAYERS = ("anna", "boris")
START = "100"


@dataclass(frozen=True, slots=True)
class Call:
    """What was sent, so that it can be sent again."""

    source: str
    player: str
    steps: Sequence[Step]


class WalletMachine(RuleBasedStateMachine):
    """Players are new in each example, so that it starts from nothing on a service that runs on."""

    sent = Bundle[Call]("sent")

    def __init__(self, api: BlockingWalletApi) -> None:
        super().__init__()
        self.api = api
        self.house = House(
            currencies={code: Currency(scale) for code, scale in having.SCALES.items()},
            sources={**having.STANDING, having.VARYING: Policies()},
        )
        self.agreement = Agreement(having.SCALES)
        self.players = {name: new_name(name) for name in PLAYERS}

    @initialize(credit_line=st.sampled_from(["0", "0", "50"]))
    def begin(self, credit_line: str) -> None:
        self.api.put_currency("VARY", Currency(having.SCALES["VARY"]))
        self.api.put_source(having.VARYING, Policies())
        for player in PLAYERS:
            self._open(player, "EUR", credit_line)
            self._call(Call("default", player, [deposit("start", START)]), singly=True)
            for currency in ("JPY", "ETH", "VARY"):
                self._open(player, currency, "0")

    @rule(
        target=sent,
        source=having.sources,
        player=st.sampled_from(PLAYERS),
        steps=having.calls,
        singly=st.booleans(),
    )
    def call(self, source: str, player: str, steps: list[Step], *, singly: bool) -> Call:
        call = Call(source, player, steps)
        self._call(call, singly=singly)
        return call

    @rule(call=sent, singly=st.booleans())
    def call_again(self, call: Call, *, singly: bool) -> None:
        self._call(call, singly=singly)

    @rule(call=sent, index=st.integers(0, 4), singly=st.booleans())
    def one_step_again(self, call: Call, index: int, *, singly: bool) -> None:
        step = call.steps[index % len(call.steps)]
        self._call(Call(call.source, call.player, [step]), singly=singly)

    @rule(call=sent, source=having.sources, player=st.sampled_from(PLAYERS))
    def call_from_elsewhere(self, call: Call, source: str, player: str) -> None:
        self._call(Call(source, player, call.steps), singly=True)

    @rule(call=sent, rollback_id=having.ids)
    def roll_back_all(self, call: Call, rollback_id: str) -> None:
        steps = [
            rollback(f"{rollback_id}-{index}", step.transaction_id) for index, step in enumerate(call.steps)
        ]
        self._call(Call(call.source, call.player, steps), singly=False)

    @rule(
        target=sent,
        source=having.sources,
        player=st.sampled_from(PLAYERS),
        ids=st.permutations(having.IDS),
        by_round=st.booleans(),
        in_one_call=st.booleans(),
    )
    def play_a_round(
        self, source: str, player: str, ids: list[str], *, by_round: bool, in_one_call: bool
    ) -> Call:
        bet_id, win_id = ids[:2]
        steps: list[Step] = [
            bet(bet_id, "10", round_id="r1", game_id="g1"),
            win(win_id, "25", round_id="r1", game_id="g1") if by_round else win(win_id, "25", of=bet_id),
        ]
        for part in [steps] if in_one_call else [[step] for step in steps]:
            self._call(Call(source, player, part), singly=True)
        return Call(source, player, steps)

    @rule(source=having.sources, player=st.sampled_from(PLAYERS), transaction_id=st.sampled_from(having.IDS))
    def look_up(self, source: str, player: str, transaction_id: str) -> None:
        expected = self.house.transaction(source, player, transaction_id)
        found = self.api.transaction(source, self.players[player], transaction_id)
        self._require_lookup(expected, found)

    @rule(
        player=st.sampled_from(PLAYERS),
        currency=st.sampled_from(["EUR", "EUR", "VARY", "USD"]),
        status=st.sampled_from(having.STATUSES),
        expected_version=st.one_of(st.none(), st.none(), st.integers(1, 8)),
    )
    def set_status(self, player: str, currency: str, status: str, expected_version: int | None) -> None:
        self._set_status(player, currency, status, expected_version)

    @rule(player=st.sampled_from(PLAYERS), currency=st.sampled_from(["EUR", "USD"]))
    def open_wallet(self, player: str, currency: str) -> None:
        self._open(player, currency, "0")

    @rule(policies=having.policies)
    def change_policies(self, policies: Policies) -> None:
        self.api.put_source(having.VARYING, policies)
        self.house.sources[having.VARYING] = policies

    @rule(status=st.sampled_from(having.CURRENCY_STATUSES))
    def change_currency(self, status: str) -> None:
        currency = Currency(having.SCALES["VARY"], status)
        self.api.put_currency("VARY", currency)
        self.house.currencies["VARY"] = currency

    @invariant()
    def balances_are_the_same(self) -> None:
        for name, player_id in self.players.items():
            expected = [self.agreement.balance(wallet) for wallet in self.house.wallets(name)]
            if expected:
                assert self.api.balances(player_id) == expected

    def _call(self, call: Call, *, singly: bool) -> None:
        scope = (call.source, call.player)
        try:
            expected = self.house.transact(call.source, call.player, call.steps)
        except CallRefused as refusal:
            refused = self._require_refused(lambda: self._send(call, singly=singly))
            self.agreement.require_refusal(scope, refusal.refusal, refused)
        except Malformed as malformed:
            self._require_malformed(malformed, lambda: self._send(call, singly=singly))
        else:
            actual = self.api.transact(call.source, self.players[call.player], call.steps, singly=singly)
            self.agreement.require_results(scope, expected, actual)

    def _send(self, call: Call, *, singly: bool) -> object:
        return self.api.transact(call.source, self.players[call.player], call.steps, singly=singly)

    def _open(self, player: str, currency: str, credit_line: str) -> None:
        expected = self.house.open_wallet(player, currency, credit_line=credit_line)
        opened = self.api.open_wallet(self.players[player], currency, credit_line=credit_line)
        assert opened.created == expected.created
        assert read_balance(opened.balance) == self.agreement.balance(expected.balance)

    def _set_status(self, player: str, currency: str, status: str, expected_version: int | None) -> None:
        def change() -> tuple[bool, Wallet]:
            answer = self.house.set_wallet_status(
                player, currency, status=status, expected_version=expected_version
            )
            return answer.changed, answer.balance

        def send() -> tuple[bool, object]:
            answer = self.api.set_status(
                self.players[player], currency, status, expected_version=expected_version
            )
            return answer.changed, read_balance(answer.balance)

        try:
            changed, wallet = change()
        except Malformed as malformed:
            self._require_malformed(malformed, send)
        else:
            assert send() == (changed, self.agreement.balance(wallet))

    def _require_refused(self, send: Callable[[], object]) -> Refused:
        try:
            answer = send()
        except Refused as refused:
            return refused
        raise AssertionError(f"not refused: {answer}")

    def _require_malformed(self, malformed: Malformed, send: Callable[[], object]) -> None:
        refused = self._require_refused(send)
        assert (refused.code, refused.reason) == (code_of(malformed.reason), malformed.reason), refused

    def _require_lookup(self, expected: Lookup, found: pb.GetTransactionResponse) -> None:
        assert pb.TransactionState.Name(found.state) == f"TRANSACTION_STATE_{expected.state}"
        assert found.kind == transaction_pb2.TransactionKind.Value(
            f"TRANSACTION_KIND_{expected.kind or 'UNSPECIFIED'}"
        )
        assert found.rollback_transaction_id == expected.rollback_transaction_id
        reason = error_reason_pb2.ErrorReason.Name(found.refusal_reason).removeprefix("ERROR_REASON_")
        assert reason == (expected.refusal.reason if expected.refusal else "UNSPECIFIED")
        assert found.HasField("result") == (expected.result is not None)
        if expected.result and expected.result.moved:
            result, wanted = read_result(found.result), self.agreement.done(expected.result)
            assert (result.outcome, result.after, result.late) == (wanted.outcome, wanted.after, wanted.late)
            assert result.receivable_change == wanted.receivable_change

"""The service beside the reference: the same calls to both, and every reply compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from stakehold.v1 import error_reason_pb2, transaction_pb2
from stakehold.v1 import wallet_service_pb2 as pb
from tests.agreement import Agreement, code_of
from tests.answers import Refused, read_balance, read_result
from tests.forgetful import BlockingOblivion
from tests.property import strategies as having
from tests.reference import (
    CallRefused,
    Currency,
    House,
    Lookup,
    Malformed,
    Policies,
    Rollback,
    SlipChange,
    Step,
    Wallet,
)
from tests.steps import deposit, rollback
from tests.wallet_api import BlockingWalletApi, new_name

PLAYERS = ("anna", "boris")
START = "100"
CASHIER = "cashier"
FORGETTING = ("players", "fields", "", "", "", "")
"""What the store forgets; mostly nothing, as it has to wait for the drainer."""


@dataclass(frozen=True, slots=True)
class Call:
    """What was sent, so that it can be sent again."""

    source: str
    player: str
    steps: Sequence[Step]


class BesideTheReference(RuleBasedStateMachine):
    """Players are new in each example, so that it starts from nothing on a service that runs on. What is
    called is for others to say; here it is sent again, changed, undone and looked up, while the house changes
    its rules.
    """

    sent = Bundle[Call]("sent")

    def __init__(self, api: BlockingWalletApi, oblivion: BlockingOblivion) -> None:
        super().__init__()
        self.api = api
        self.oblivion = oblivion
        self.house = House(
            currencies={code: Currency(scale) for code, scale in having.SCALES.items()},
            sources={**having.STANDING, having.VARYING: Policies(), CASHIER: Policies()},
        )
        self.agreement = Agreement(having.SCALES)
        self.source = having.VARYING
        self.number = 0
        self.players = {name: new_name(name) for name in PLAYERS}
        self.touched: set[str] = set()
        self.touched_slips: set[tuple[str, str, str]] = set()

    @initialize(
        source=having.sources, policies=having.policies, credit_line=st.sampled_from(["0", "0", "50"])
    )
    def begin(self, source: str, policies: Policies, credit_line: str) -> None:
        self.source = source
        self._put_currency("ENABLED")
        self._put_policies(policies)
        for player in PLAYERS:
            self._open(player, "EUR", credit_line)
            self._call(Call(CASHIER, player, [deposit("start", START)]))
            for currency in ("JPY", "ETH", "VARY"):
                self._open(player, currency, "0")

    @rule(call=sent, index=st.sampled_from([None, None, 0, 1, 2]), singly=st.booleans())
    def call_again(self, call: Call, index: int | None, *, singly: bool) -> None:
        steps = call.steps if index is None else [call.steps[index % len(call.steps)]]
        self._call(replace(call, steps=steps), singly=singly)

    @rule(target=sent, call=sent, source=having.sources, player=having.players)
    def call_from_elsewhere(self, call: Call, source: str, player: str) -> Call:
        elsewhere = Call(source, player, call.steps)
        self._call(elsewhere)
        return elsewhere

    @rule(
        target=sent,
        call=sent,
        rollback_id=having.ids,
        index=st.sampled_from([None, None, 0, 1]),
        backwards=st.booleans(),
    )
    def roll_back(self, call: Call, rollback_id: str, index: int | None, *, backwards: bool) -> Call:
        originals = call.steps if index is None else [call.steps[index % len(call.steps)]]
        steps = [
            rollback(f"{rollback_id}-{place}", step.transaction_id) for place, step in enumerate(originals)
        ]
        undoing = replace(call, steps=steps[::-1] if backwards else steps)
        self._call(undoing, singly=len(steps) == 1)
        return undoing

    @rule(call=sent, change=having.changes)
    def call_with_a_change(self, call: Call, change: having.Change) -> None:
        self._call(replace(call, steps=[having.changed(call.steps[0], change)]))

    @rule(player=having.players, transaction_id=having.ids)
    def look_up(self, player: str, transaction_id: str) -> None:
        expected = self.house.transaction(self.source, player, transaction_id)
        found = self.api.transaction(self.source, self.players[player], transaction_id)
        self._require_lookup(expected, found)

    @rule(
        player=having.players,
        currency=st.sampled_from(["EUR", "EUR", "VARY", "USD"]),
        status=having.statuses,
        expected_version=having.expected_versions,
        policies=having.policies,
        currency_status=having.currency_statuses,
        opens=st.sampled_from(["EUR", "USD", None, None]),
    )
    def administer(
        self,
        player: str,
        currency: str,
        status: str,
        expected_version: int | None,
        policies: Policies,
        currency_status: str,
        opens: str | None,
    ) -> None:
        self._set_status(player, currency, status, self._version(player, currency, expected_version))
        self._put_policies(policies)
        self._put_currency(currency_status)
        if opens:
            self._open(player, opens, "0")

    @rule(players=st.sets(having.players, min_size=1), what=st.sampled_from(FORGETTING))
    def let_the_store_forget(self, players: set[str], what: str) -> None:
        names = [self.players[player] for player in players]
        if what == "players":
            self.oblivion.forget_players(names)
        elif what == "fields":
            self.oblivion.forget_fields(names)

    @invariant()
    def balances_are_the_same(self) -> None:
        for name in self.touched:
            expected = [self.agreement.balance(wallet) for wallet in self.house.wallets(name)]
            assert self.api.balances(self.players[name]) == expected
        self.touched.clear()

    @invariant()
    def slips_are_the_same(self) -> None:
        for source, player, slip_id in self.touched_slips:
            expected = self.house.slip(source, player, slip_id)
            find = partial(self.api.slip, source, self.players[player], slip_id)
            if expected is not None:
                assert find() == self.agreement.slip(expected)
            else:
                assert self._require_refused(find).reason == "SLIP_NOT_FOUND"
        self.touched_slips.clear()

    def teardown(self) -> None:
        """Nobody's money may have moved without a call of theirs either."""
        self.touched.update(name for name in PLAYERS if self.house.wallets(name))
        self.balances_are_the_same()

    def _next_number(self) -> int:
        self.number += 1
        return self.number

    def _call(self, call: Call, *, singly: bool = True) -> None:
        scope = (call.source, call.player)
        self.touched.add(call.player)
        self.touched_slips.update(
            (*scope, step.slip_id) for step in call.steps if isinstance(step, SlipChange)
        )
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
        self.touched.add(player)
        expected = self.house.open_wallet(player, currency, credit_line=credit_line)
        opened = self.api.open_wallet(self.players[player], currency, credit_line=credit_line)
        assert opened.created == expected.created
        assert read_balance(opened.balance) == self.agreement.balance(expected.balance)

    def _put_policies(self, policies: Policies) -> None:
        self.api.put_source(having.VARYING, policies)
        self.house.sources[having.VARYING] = policies

    def _put_currency(self, status: str) -> None:
        currency = Currency(having.SCALES["VARY"], status)
        self.api.put_currency("VARY", currency)
        self.house.currencies["VARY"] = currency

    def _with_current_version(self, player: str, step: Step) -> Step:
        if isinstance(step, Rollback) or step.expected_version != having.CURRENT or step.money is None:
            return step
        return replace(step, expected_version=self._version(player, step.money.currency, having.CURRENT))

    def _version(self, player: str, currency: str, expected: int | None) -> int | None:
        if expected != having.CURRENT:
            return expected
        wallet = self.house.players[player].wallets.get(currency)
        return wallet.version if wallet else 1

    def _set_status(self, player: str, currency: str, status: str, expected_version: int | None) -> None:
        self.touched.add(player)

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

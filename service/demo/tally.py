"""What is remembered of a play: counts, latencies, and what the answers promised."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from service.demo.answers import Answer, Result
from service.demo.caller import Sent
from service.demo.expectations import surprise
from service.demo.plays import Line
from stakehold.v1 import submission_service_pb2, transaction_pb2

WalletName = tuple[str, str]
"""Player and currency."""
_SPENDING = ("Debit", "Hold", "PlaceSlip")


@dataclass(slots=True)
class Tally:
    """Fills while a play is played. The lists of sentences hold what broke a promise."""

    latencies_s: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    retries: int = 0
    surprises: list[str] = field(default_factory=list)
    applied_twice: list[str] = field(default_factory=list)
    overspent: list[str] = field(default_factory=list)
    entry_ids: dict[str, set[str]] = field(default_factory=dict)
    wallets: dict[WalletName, transaction_pb2.WalletBalance] = field(default_factory=dict)
    versions: dict[WalletName, set[int]] = field(default_factory=dict)
    balances_checked: int = 0
    submissions: list[submission_service_pb2.Submission] = field(default_factory=list)
    commands: int = 0
    command_surprises: list[str] = field(default_factory=list)
    _entry_of_id: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _entry_of_version: dict[tuple[str, str, int], str] = field(default_factory=dict)
    _first_answers: set[tuple[str, str, str]] = field(default_factory=set)

    def take(self, line: Line, sent: Sent, problem: str) -> None:
        """Remembers one answer; ``problem`` is what surprised about it."""
        answer = sent.answer
        self.latencies_s.append(sent.latency_s)
        self.retries += sent.retries
        self._take_answer(line, answer, problem)
        if line.rpc == "GetWallet":
            self._take_final(line, answer)
        if answer.submission is not None:
            self.submissions.append(answer.submission)
        if line.rpc == "ListResults" and not problem:
            self._take_commands(line, answer)

    def version_gaps(self) -> list[str]:
        """Wallets whose changes are not numbered 1, 2, 3 … without gap."""
        return [
            f"{player} {currency}: {len(seen)} versions seen, the last is {max(seen)}"
            for (player, currency), seen in sorted(self.versions.items())
            if seen != set(range(1, max(seen) + 1))
        ]

    def latency_ms(self, quantile: float) -> float:
        ordered = sorted(self.latencies_s) or [0.0]
        return 1000 * ordered[min(int(len(ordered) * quantile), len(ordered) - 1)]

    def _take_answer(self, line: Line, answer: Answer, problem: str) -> None:
        self.answers.update(_labels(answer))
        if problem:
            self.surprises.append(f"{line}: {problem}")
        self.entry_ids.setdefault(line.player, set()).update(answer.entry_ids())
        for wallet in answer.wallets:
            self._see(line.player, wallet)
        for result in answer.results:
            self._take_result(line, result)

    def _take_commands(self, line: Line, answer: Answer) -> None:
        """What became of a submission's commands: each is a call, though nobody waited for it."""
        for command, expected in zip(answer.commands, line.expect[0]["commands"], strict=True):
            request = {"sourceId": command.source, "transactionId": command.transaction_id}
            told = replace(line, player=command.player, rpc="submitted", request=request)
            # A worker that was interrupted tries again, so a first answer may be told as a replay.
            problem = surprise([expected], command.answer, asked_again=True)
            if problem:
                self.command_surprises.append(f"{told}: {problem}")
            self.commands += 1
            self._take_answer(told, command.answer, problem)

    def _take_result(self, line: Line, result: Result) -> None:
        name = (line.player, str(line.request["sourceId"]), result.transaction_id)
        if not result.replayed:
            if name in self._first_answers:
                self.applied_twice.append(f"{line}: {result.transaction_id} was answered as new twice")
            self._first_answers.add(name)
        if self._entry_of_id.setdefault(name, result.entry_id) != result.entry_id:
            self.applied_twice.append(f"{line}: {result.transaction_id} has two entries")
        for balance in (result.balance_after, result.balance_now):
            if balance is not None:
                self._see(line.player, balance)
        if result.outcome == "APPLIED" and result.balance_after is not None:
            self._take_applied(line, result, result.balance_after)

    def _take_applied(self, line: Line, result: Result, balance: transaction_pb2.WalletBalance) -> None:
        version = (line.player, balance.currency_code, balance.version)
        if self._entry_of_version.setdefault(version, result.entry_id) != result.entry_id:
            self.applied_twice.append(f"{line}: version {balance.version} was given to two transactions")
        if line.rpc in _SPENDING and Decimal(balance.cash) < -Decimal(balance.credit_line):
            self.overspent.append(f"{line}: left {balance.cash} {balance.currency_code}")

    def _take_final(self, line: Line, answer: Answer) -> None:
        self.balances_checked += len(answer.wallets)
        for wallet in answer.wallets:
            self.wallets[line.player, wallet.currency_code] = wallet

    def _see(self, player: str, balance: transaction_pb2.WalletBalance) -> None:
        self.versions.setdefault((player, balance.currency_code), set()).add(balance.version)


def _labels(answer: Answer) -> Iterator[str]:
    if answer.code != "OK":
        yield f"refused {answer.reason or answer.code}"
    elif not answer.results:
        yield "read or set up"
    for result in answer.results:
        yield "replayed" if result.replayed else result.outcome.lower().replace("_", " ")


def shortened(sentences: Sequence[str], *, most: int = 5) -> list[str]:
    """The first few, and how many more there are."""
    rest = len(sentences) - most
    return [*sentences[:most], *([f"… and {rest} more"] if rest > 0 else [])]

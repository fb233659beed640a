"""Requests that move money, in the API's JSON, each with the change that it makes when it is applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from examples.evening.money import Currency

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Round:
    """A round of one game. Sources that know no rounds leave both empty."""

    round_id: str = ""
    game_id: str = ""


NO_ROUND = Round()


@dataclass(frozen=True, slots=True)
class Move:
    """One request with one transaction, and the signed change that it makes."""

    rpc: str
    source: str
    transaction_id: str
    currency: Currency
    change: int
    body: Json = field(hash=False)

    @property
    def amount(self) -> int:
        return abs(self.change)

    @property
    def round(self) -> Round:
        return Round(self.body.get("roundId", ""), self.body.get("gameId", ""))

    def with_body(self, **fields: Any) -> "Move":
        """The same id with other contents: what a confused caller sends."""
        return replace(self, body=self.body | fields)


def money(currency: Currency, amount: int) -> Json:
    return {"currencyCode": currency.code, "amount": currency.text(amount)}


def movement(  # noqa: PLR0913 - a movement has that many sides
    *,
    rpc: str,
    kind: str,
    source: str,
    transaction_id: str,
    currency: Currency,
    amount: int,
    in_round: Round = NO_ROUND,
    reference: str = "",
    close: bool = False,
    metadata: Mapping[str, str] | None = None,
    expected_version: int | None = None,
) -> Move:
    """A Debit or a Credit."""
    body: Json = {"transactionId": transaction_id, "kind": f"TRANSACTION_KIND_{kind}"}
    body["amount"] = money(currency, amount)
    if in_round.round_id:
        body |= {"roundId": in_round.round_id, "gameId": in_round.game_id}
    if reference:
        body["referenceTransactionId"] = reference
    if close:
        body["closeRound"] = True
    if expected_version is not None:
        body["expectedVersion"] = str(expected_version)
    if metadata:
        body["context"] = {"metadata": dict(metadata)}
    return Move(rpc, source, transaction_id, currency, -amount if rpc == "Debit" else amount, body)


def rollback(original: Move, transaction_id: str, *, amount: int | None = None) -> Move:
    """The undoing of a move. With an amount, the caller says how much it expects to undo."""
    body: Json = {"transactionId": transaction_id, "originalTransactionId": original.transaction_id}
    if amount is not None:
        body["amount"] = money(original.currency, amount)
    return Move("Rollback", original.source, transaction_id, original.currency, -original.change, body)


def transact_steps(moves: Sequence[Move]) -> list[Json]:
    """The steps of a Transact call."""
    return [{move.rpc.lower(): move.body} for move in moves]

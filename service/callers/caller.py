"""Who calls, once that is known: from a certificate, from a token, or because nobody is asked."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller is there for. Which RPCs and kinds of transactions each may use: service.callers.grants.

    Without a role a caller may do nothing.
    """

    GAME = "game"
    """Bets, wins, refunds, rollbacks, holds, rounds: of its own sources."""
    SPORTSBOOK = "sportsbook"
    """As a game, and slips."""
    CASHIER = "cashier"
    """Deposits, withdrawals, exchanges and what belongs to them: of its own sources."""
    PROMOTIONS = "promotions"
    """Bonuses: of its own sources."""
    PLATFORM = "platform"
    """Opens wallets and players' sessions."""
    EDGE = "edge"
    """Hands over what providers have sent over HTTP; their signatures say who they are."""
    RATES = "rates"
    """Pushes rates of the market."""
    CONSUMER = "consumer"
    """Subscribes to events."""
    OPERATOR = "operator"
    """Looks at everything; freezes wallets, resolves reviews, proposes corrections. Moves no money."""
    APPROVER = "approver"
    """Approves what another person proposed: withdrawals, corrections, held rates."""
    AUDITOR = "auditor"
    """Reads the ledger, the log of access, and has it all audited."""
    ADMIN = "admin"
    """Sets up currencies, sources, pairs. Moves no money."""


class Identification(StrEnum):
    """How a caller was known."""

    CERTIFICATE = "certificate"
    TOKEN = "token"
    DEVELOPMENT = "development"
    """Nobody was asked: only on loopback, and only where the settings say so."""


@dataclass(frozen=True, slots=True)
class Caller:
    """``name`` is the configured name of a service or a person; it stands in logs and in approvals.

    ``sources`` are the ids of those that it may act as; None stands for all, which only the development's
    caller and those that act for nobody else have.
    """

    name: str
    roles: frozenset[Role]
    sources: frozenset[str] | None
    identified_by: Identification

    def may_act_as(self, source_id: str) -> bool:
        return self.sources is None or source_id in self.sources


DEVELOPMENT = Caller(
    name="development",
    roles=frozenset(Role),
    sources=None,
    identified_by=Identification.DEVELOPMENT,
)
"""Whoever calls where nobody is asked. What it says of persons (`by`, approvers) is taken at its word."""

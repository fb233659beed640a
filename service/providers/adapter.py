"""What an adapter is: a provider's protocol, between its bytes and the words of this package.

An adapter reads a callback as something that is asked for, and writes what was found as an answer. It does
nothing else: no I/O, no clock, no money. Signatures are checked before it is asked
(service.providers.signatures); what is asked for is done by service.providers.applying.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from service.providers.amounts import Balance, Unit


class Problem(StrEnum):
    """Why a callback was not answered as it would like. The values are told to Prometheus and recorded."""

    SIGNATURE = "signature"
    """None of the provider's keys has signed it, or not in time."""
    TOO_LARGE = "too_large"
    NO_SUCH_PATH = "no_such_path"
    SYNTAX = "syntax"
    """Its body is not what its path takes."""
    TYPES = "types"
    """A value is none that it may be, an amount among them that is no whole number of minor units."""
    TOKEN_UNKNOWN = "token_unknown"
    TOKEN_EXPIRED = "token_expired"
    CURRENCY = "currency"
    """Unknown, disabled, or not the player's."""
    PLAYER_UNKNOWN = "player_unknown"
    PLAYER_DISABLED = "player_disabled"
    PROVIDER_DISABLED = "provider_disabled"
    GAME = "game"
    """Another one than the session is for."""
    FUNDS = "funds"
    ID_CONFLICT = "id_conflict"
    """The transaction's id was used with another payload."""
    REFERENCE_UNKNOWN = "reference_unknown"
    """What it refers to is not there, was refused, or is another one than it says."""
    ROLLED_BACK = "rolled_back"
    """The transaction, or the bet that it refers to, was undone."""
    REFUSED = "refused"
    """For another reason; final."""
    RETRY = "retry"
    """It is not known, or not yet done: nobody but the same callback again can tell. Never an answer that a
    provider takes for a refusal."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an adapter gets to see of a callback, once it is known to be the provider's."""

    method: str
    path: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status_code: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every callback says, as it says it: not checked yet. ``token`` is "" where there is none."""

    request_id: str = ""
    player_id: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerAsked(Asked):
    """Who is this?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceAsked(Asked):
    """What may this player bet?"""

    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionAsked(Asked):
    """Something that moves money, under the provider's own id."""

    transaction_id: str
    game: str = ""
    round: str = ""
    closes_round: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BetAsked(TransactionAsked):
    """``amount`` is as the provider writes it in ``unit``. Where ``may_be_expired``, the token only has to be
    one that was given.
    """

    unit: Unit
    amount: int | str
    may_be_expired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WinAsked(TransactionAsked):
    """``reference`` is the bet, "" where there is none. A prize needs no bet."""

    unit: Unit
    amount: int | str
    reference: str = ""
    is_prize: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackAsked(TransactionAsked):
    """``original`` is what is to be undone."""

    original: str
    unit: Unit


class Unreadable(Exception):
    """A callback that asks for nothing. ``asked`` has what could be read of it, to be answered."""

    def __init__(self, problem: Problem, asked: Asked | None = None) -> None:
        super().__init__(problem.value)
        self.problem = problem
        self.asked = asked or Asked()


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a callback. ``problem`` is None where it was done. ``balance`` is None where it is not
    known: the wallet as the first answer told it, or as it is.
    """

    problem: Problem | None = None
    balance: Balance | None = None


class Adapter(Protocol):
    """One provider's protocol. Pure: the same bytes are read the same, the same finding written the same."""

    def read(self, request: Request) -> Asked:
        """Raises Unreadable. Whatever the body is, nothing else."""

    def write(self, asked: Asked, finding: Finding) -> Answer:
        """The answer in the provider's own words. After RETRY it must be one that the provider retries."""

"""The words of the cashier: cases, the messages about them, and the states that these lead to.

Values of the enumerations are stored in Postgres: they are never renamed, only added to. Amounts are minor
units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum

from persistence.transactions import OPERATOR_SOURCE, CurrencyCode, PlayerId, SourceId

HOUSE = str(OPERATOR_SOURCE)
"""Who tells what the service finds out by itself; the source of corrections."""


class CaseKind(StrEnum):
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    CORRECTION = "correction"


class CaseState(StrEnum):
    """What ends in -ING is under way: the wallet has been asked, or will be."""

    CREATED = "created"
    PENDING = "pending"
    CREDITING = "crediting"
    CREDITED = "credited"
    EXPIRED = "expired"
    CHARGING_BACK = "charging_back"
    CHARGED_BACK = "charged_back"
    HOLDING = "holding"
    REQUESTED = "requested"
    APPROVED_ONCE = "approved_once"
    APPROVED = "approved"
    SENT = "sent"
    PAYING = "paying"
    PAID = "paid"
    REJECTING = "rejecting"
    FAILING = "failing"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    PROPOSED = "proposed"
    APPLYING = "applying"
    APPLIED = "applied"
    FAILED = "failed"
    REJECTED = "rejected"
    GIVING_UP = "giving_up"
    """The wallet did not do it for now; it is made certain that it never will."""
    REFUSED = "refused"
    """The wallet did not do it, for good."""


class Message(StrEnum):
    OPEN = "open"
    PENDING = "pending"
    CREDIT = "credit"
    FAIL = "fail"
    CHARGE_BACK = "charge_back"
    EXPIRE = "expire"
    APPROVE = "approve"
    REJECT = "reject"
    SENT = "sent"
    PAID = "paid"
    CANCEL = "cancel"
    FINISH = "finish"
    """What became of the money; told by the service."""


@dataclass(frozen=True, slots=True)
class References:
    """What the payment provider knows a payment by; "" is not known."""

    provider: str = ""
    provider_reference: str = ""
    chain: str = ""
    address: str = ""
    tx_hash: str = ""

    def known(self) -> dict[str, str]:
        return {part.name: value for part in fields(self) if (value := getattr(self, part.name))}

    def contradict(self, others: "References") -> bool:
        """Whether both know something, and not the same."""
        known = others.known()
        return any(known.get(name, value) != value for name, value in self.known().items())

    def within(self, others: "References") -> bool:
        """Whether others know all of it."""
        return self.known().items() <= others.known().items()

    def merged(self, others: "References") -> "References":
        return replace(self, **others.known())


@dataclass(frozen=True, slots=True)
class CaseName:
    """The source is HOUSE for corrections."""

    kind: CaseKind
    source_id: str
    case_id: str


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case to open. ``is_debit`` is of use for corrections."""

    name: CaseName
    player_id: PlayerId
    currency: CurrencyCode
    amount: int
    opened_by: str
    is_debit: bool = False
    needs_second_approval: bool = False
    reason: str = ""
    corrected_entry_id: str = ""
    references: References = field(default_factory=References)
    expires_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A message about a case. ``amount`` and ``currency`` are None where it names none."""

    message: Message
    by: str
    amount: int | None = None
    currency: CurrencyCode | None = None
    reason: str = ""
    references: References = field(default_factory=References)

    def details(self) -> dict[str, str]:
        """What the record keeps of it beside who, what and when."""
        amount = (
            {} if self.amount is None else {"amount_minor": str(self.amount), "currency": str(self.currency)}
        )
        reason = {"reason": self.reason} if self.reason else {}
        return {**amount, **reason, **self.references.known()}


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it is now. ``opening_entry_id`` is the entry of the credit, hold or correction,
    ``closing_entry_id`` that of the chargeback, or of what took or gave back what was held; "" before.
    ``refusal`` is the wallet's reason against what was asked for last.
    """

    number: int
    name: CaseName
    player_id: PlayerId
    partition: int
    currency: CurrencyCode
    amount: int
    is_debit: bool
    state: CaseState
    accepted: tuple[Message, ...]
    attempt: int
    needs_second_approval: bool
    opened_by: str
    first_approver: str
    second_approver: str
    reason: str
    ending_reason: str
    corrected_entry_id: str
    references: References
    refusal: str
    opening_entry_id: str
    closing_entry_id: str
    expires_time: datetime | None
    tries: int
    created_time: datetime
    changed_time: datetime

    @property
    def source_id(self) -> SourceId:
        return SourceId(self.name.source_id)

    @property
    def approvers(self) -> tuple[str, ...]:
        return tuple(name for name in (self.first_approver, self.second_approver) if name)

    def is_of(self, new: NewCase) -> bool:
        """Whether opening that one again is opening this one."""
        mine = (self.name, self.player_id, self.currency, self.amount, self.is_debit, self.corrected_entry_id)
        same = mine == (
            new.name, new.player_id, new.currency, new.amount, new.is_debit, new.corrected_entry_id,
        )  # fmt: skip
        return same and self.opened_by == new.opened_by and new.references.within(self.references)


@dataclass(frozen=True, slots=True)
class CaseMessage:
    """A message on record."""

    number: int
    message: Message
    told_by: str
    is_accepted: bool
    state_before: str
    state_after: str
    details: Mapping[str, str]
    told_time: datetime


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Every filter that is set must hold."""

    kind: CaseKind
    player_id: str = ""
    source_id: str = ""
    states: tuple[CaseState, ...] = ()


@dataclass(frozen=True, slots=True)
class CasePage:
    """Some cases, newest first. ``next_page_token`` is empty where there are no more."""

    cases: Sequence[Case]
    next_page_token: str

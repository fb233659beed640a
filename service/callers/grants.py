"""What each role may do: one table. What is not in it is refused.

Each RPC has a row with the roles that may call it: those of whoever acts as a source, and then only as one of
the caller's own sources; and those of whoever looks after all of them. What moves money has kinds, too. A
request that carries commands is asked for each of them by itself, as if it had come alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.callers.caller import Role
from stakehold.v1 import transaction_pb2

_NOBODY: frozenset[Role] = frozenset()


@dataclass(frozen=True, slots=True)
class Grant:
    """A row. A role is in one of the two sets or in none.

    ``own``: may call it, naming a source of the caller's own. ``all``: may call it, whatever source it names.
    ``only``: fields that may only be set by fewer roles. ``by_command``: each command is asked for, not the
    request. ``person``: the field that names the person who does it; "" where there is none.

    ``is_administrative``: on record before it takes effect. ``noted`` are fields of the request that the
    record keeps, beside the ids that every record has, and ``why`` is the one that says why. ``digested`` are
    secrets, of which it keeps the SHA-256, as <field>_digest.
    """

    own: frozenset[Role] = _NOBODY
    all: frozenset[Role] = _NOBODY
    only: Mapping[str, frozenset[Role]] = field(default_factory=dict)
    by_command: bool = False
    person: str = ""
    is_administrative: bool = False
    noted: tuple[str, ...] = ()
    why: str = ""
    digested: tuple[str, ...] = ()


_R = Role
_GAMES = frozenset({_R.GAME, _R.SPORTSBOOK})
_BOOKS = frozenset({_R.SPORTSBOOK})
_CASHIER = frozenset({_R.CASHIER})
_HOLDERS = _GAMES | _CASHIER
_MOVERS = _HOLDERS | {_R.PROMOTIONS}
"""Whoever moves money, as a source."""
_APPROVER = frozenset({_R.APPROVER})
_OPERATOR = frozenset({_R.OPERATOR})
_PLATFORM = frozenset({_R.PLATFORM})
_ADMIN = frozenset({_R.ADMIN})
_LOOKERS = frozenset({_R.OPERATOR, _R.AUDITOR})
_DECIDERS = _LOOKERS | _APPROVER
_EVERYBODY = frozenset(Role)


def _decision(
    roles: frozenset[Role],
    *noted: str,
    person: str = "",
    why: str = "",
    digested: tuple[str, ...] = (),
) -> Grant:
    """A row of what is on record before it takes effect."""
    return Grant(all=roles, is_administrative=True, person=person, noted=noted, why=why, digested=digested)


_BY_SERVICE: Mapping[str, Mapping[str, Grant]] = {
    "WalletService": {
        "GetWallet": Grant(all=_MOVERS | _DECIDERS | _PLATFORM),
        "Debit": Grant(own=_HOLDERS),
        "Credit": Grant(own=_MOVERS),
        "Rollback": Grant(own=_MOVERS),
        "Hold": Grant(own=_HOLDERS),
        "Capture": Grant(own=_HOLDERS),
        "Release": Grant(own=_HOLDERS),
        "Transact": Grant(own=_MOVERS),
        "LockQuote": Grant(own=_CASHIER),
        "Exchange": Grant(own=_CASHIER),
        "GetTransaction": Grant(own=_MOVERS, all=_DECIDERS),
    },
    "SportsbookService": {
        "PlaceSlip": Grant(own=_BOOKS),
        "SettleSlip": Grant(own=_BOOKS),
        "ResettleSlip": Grant(own=_BOOKS),
        "UnsettleSlip": Grant(own=_BOOKS),
        "VoidSlip": Grant(own=_BOOKS),
        "ReopenSlip": Grant(own=_BOOKS),
        "CashOutSlip": Grant(own=_BOOKS),
        "GetSlip": Grant(own=_HOLDERS, all=_LOOKERS),
        "ListSlips": Grant(own=_HOLDERS, all=_LOOKERS),
    },
    "RoundService": {
        "GetRound": Grant(own=_GAMES, all=_LOOKERS),
        "ListOpenRounds": Grant(own=_GAMES, all=_LOOKERS),
        "CloseRound": Grant(own=_GAMES),
        "ResumeSession": Grant(own=_GAMES, all=_LOOKERS | _PLATFORM),
        "ListReviews": Grant(all=_LOOKERS),
        "ResolveReview": _decision(_OPERATOR, "review_id", person="resolved_by", why="note"),
    },
    "BulkService": {
        "Batch": Grant(own=_MOVERS, by_command=True),
        "Stream": Grant(own=_MOVERS, by_command=True),
    },
    "SubmissionService": {
        "Submit": Grant(own=_MOVERS, by_command=True),
        "GetSubmission": Grant(own=_MOVERS, all=_LOOKERS),
        "ListSubmissions": Grant(own=_MOVERS, all=_LOOKERS),
        "ListResults": Grant(own=_MOVERS, all=_LOOKERS),
        "ListDeadLetters": Grant(own=_MOVERS, all=_LOOKERS),
        "RedriveDeadLetters": _decision(_OPERATOR, "submission_id", "indexes"),
    },
    "CashierService": {
        "CreateDeposit": Grant(own=_CASHIER),
        "MarkDepositPending": Grant(own=_CASHIER),
        "CreditDeposit": Grant(own=_CASHIER),
        "FailDeposit": Grant(own=_CASHIER),
        "ChargeBackDeposit": Grant(own=_CASHIER),
        "GetDeposit": Grant(own=_CASHIER, all=_DECIDERS),
        "ListDeposits": Grant(own=_CASHIER, all=_DECIDERS),
        "RequestWithdrawal": Grant(own=_CASHIER, person="requested_by"),
        "ApproveWithdrawal": _decision(_APPROVER, "withdrawal_id", person="approver"),
        "RejectWithdrawal": _decision(_APPROVER, "withdrawal_id", person="rejected_by", why="reason"),
        "MarkWithdrawalSent": Grant(own=_CASHIER),
        "MarkWithdrawalPaid": Grant(own=_CASHIER),
        "FailWithdrawal": Grant(own=_CASHIER),
        "CancelWithdrawal": Grant(own=_CASHIER, person="cancelled_by"),
        "GetWithdrawal": Grant(own=_CASHIER, all=_DECIDERS),
        "ListWithdrawals": Grant(own=_CASHIER, all=_DECIDERS),
        "ProposeCorrection": _decision(
            _OPERATOR,
            "correction_id",
            "currency_code",
            "amount",
            "corrected_entry_id",
            person="author",
            why="reason",
        ),
        "ApproveCorrection": _decision(_APPROVER, "correction_id", person="approver"),
        "RejectCorrection": _decision(
            _APPROVER | _OPERATOR, "correction_id", person="rejected_by", why="reason"
        ),
        "GetCorrection": Grant(all=_DECIDERS),
        "ListCorrections": Grant(all=_DECIDERS),
    },
    "AdminService": {
        "OpenWallet": Grant(all=_ADMIN | _PLATFORM, only={"credit_line": _ADMIN}),
        "SetWalletStatus": _decision(_OPERATOR, "currency_code", "status", why="reason"),
        "ListCurrencies": Grant(all=_EVERYBODY),
        "PutCurrency": _decision(
            _ADMIN, "currency.currency_code", "currency.scale", "currency.kind", "currency.status"
        ),
        "ListDenominations": Grant(all=_EVERYBODY),
        "PutDenomination": _decision(
            _ADMIN, "denomination.denomination_code", "denomination.currency_code", "denomination.exponent"
        ),
        "PutSource": _decision(
            _ADMIN,
            "source.source_id",
            "source.status",
            "source.settled_rollback",
            "source.unknown_bet",
            "source.late_win",
            "source.shortfall",
            "source.zero_amount",
            "source.foreign_currency",
            "source.orphan_horizon",
            "source.rate_limit",
        ),
    },
    "LedgerService": {
        "ListEntries": Grant(all=_LOOKERS),
        "GetStatement": Grant(all=_LOOKERS),
        "GetBalanceAt": Grant(all=_LOOKERS),
        "GetTrialBalance": Grant(all=_LOOKERS),
        "Audit": Grant(all=frozenset({_R.AUDITOR})),
    },
    "FxService": {
        "PushRates": Grant(all=frozenset({_R.RATES}), person="pushed_by"),
        "ConfirmRate": _decision(_APPROVER, "rate_id", person="by", why="reason"),
        "RejectRate": _decision(_APPROVER, "rate_id", person="by", why="reason"),
        "ListHeldRates": Grant(all=_DECIDERS | _ADMIN | {_R.RATES}),
        "ListRates": Grant(all=_DECIDERS | _ADMIN | {_R.RATES}),
        "GetRateAt": Grant(all=_DECIDERS | _ADMIN | {_R.RATES}),
        "GetConversion": Grant(all=_MOVERS | _DECIDERS | _ADMIN | _PLATFORM),
        "PutPair": _decision(
            _ADMIN,
            "pair.base",
            "pair.quote",
            "pair.stale_after_s",
            "pair.jump_bps",
            "pair.two_person_bps",
            "pair.peg",
            "pair.peg_band_bps",
        ),
        "ListPairs": Grant(all=_DECIDERS | _ADMIN | {_R.RATES}),
        "PutPivots": _decision(_ADMIN, "pivot_currency_codes"),
        "PutSpread": _decision(
            _ADMIN,
            "spread.currency_code",
            "spread.wallet_currency_code",
            "spread.side",
            "spread.player_group",
            "spread.bps",
        ),
        "DeleteSpread": _decision(_ADMIN, "currency_code", "wallet_currency_code", "side", "player_group"),
        "ListSpreads": Grant(all=_DECIDERS | _ADMIN),
        "GetPositions": Grant(all=_LOOKERS | _ADMIN),
    },
    "EventService": {
        "Subscribe": Grant(all=frozenset({_R.CONSUMER, _R.AUDITOR})),
    },
    "AccessService": {
        "ListAccessRecords": Grant(all=frozenset({_R.AUDITOR, _R.ADMIN})),
    },
    "ProviderService": {
        "HandleCallback": Grant(all=frozenset({_R.EDGE})),
        "OpenSession": Grant(all=_PLATFORM),
        "CloseSession": _decision(_PLATFORM | _OPERATOR, digested=("token",)),
        "GetSession": Grant(all=_PLATFORM | _LOOKERS),
    },
}

GRANTS: Mapping[str, Grant] = {
    f"/stakehold.v1.{service}/{rpc}": grant
    for service, rpcs in _BY_SERVICE.items()
    for rpc, grant in rpcs.items()
}
"""By the method's full name."""

_K = transaction_pb2

_STAKES = frozenset({_K.TRANSACTION_KIND_BET, _K.TRANSACTION_KIND_TIP})
_RETURNS = frozenset(
    {
        _K.TRANSACTION_KIND_WIN,
        _K.TRANSACTION_KIND_REFUND,
        _K.TRANSACTION_KIND_JACKPOT_WIN,
        _K.TRANSACTION_KIND_PROMOTIONAL_WIN,
    }
)

DEBIT_KINDS: Mapping[Role, frozenset[int]] = {
    _R.GAME: _STAKES,
    _R.SPORTSBOOK: _STAKES,
    _R.CASHIER: frozenset({_K.TRANSACTION_KIND_WITHDRAWAL}),
}
"""What a role may debit for. A correction is nobody's: those go through CashierService, with two persons."""

CREDIT_KINDS: Mapping[Role, frozenset[int]] = {
    _R.GAME: _RETURNS,
    _R.SPORTSBOOK: _RETURNS,
    _R.CASHIER: frozenset({_K.TRANSACTION_KIND_DEPOSIT}),
    _R.PROMOTIONS: frozenset({_K.TRANSACTION_KIND_BONUS}),
}
"""What a role may credit for."""

HOLD_KINDS: Mapping[Role, frozenset[int]] = {
    _R.GAME: frozenset({_K.TRANSACTION_KIND_BET}),
    _R.SPORTSBOOK: frozenset({_K.TRANSACTION_KIND_BET}),
    _R.CASHIER: frozenset({_K.TRANSACTION_KIND_WITHDRAWAL}),
}
"""What a role may hold for."""

OPERATIONS: Mapping[str, str] = {
    "debit": "/stakehold.v1.WalletService/Debit",
    "credit": "/stakehold.v1.WalletService/Credit",
    "rollback": "/stakehold.v1.WalletService/Rollback",
    "transact": "/stakehold.v1.WalletService/Transact",
    "exchange": "/stakehold.v1.WalletService/Exchange",
    "hold": "/stakehold.v1.WalletService/Hold",
    "capture": "/stakehold.v1.WalletService/Capture",
    "release": "/stakehold.v1.WalletService/Release",
    "place_slip": "/stakehold.v1.SportsbookService/PlaceSlip",
    "settle_slip": "/stakehold.v1.SportsbookService/SettleSlip",
    "resettle_slip": "/stakehold.v1.SportsbookService/ResettleSlip",
    "unsettle_slip": "/stakehold.v1.SportsbookService/UnsettleSlip",
    "void_slip": "/stakehold.v1.SportsbookService/VoidSlip",
    "reopen_slip": "/stakehold.v1.SportsbookService/ReopenSlip",
    "cash_out_slip": "/stakehold.v1.SportsbookService/CashOutSlip",
    "close_round": "/stakehold.v1.RoundService/CloseRound",
}
"""What a command, or a step of a Transact, is when it comes alone."""

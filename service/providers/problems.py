"""What callers of the API are told as reasons, providers are told as problems: one table.

Only what is certain and final may be a refusal. Whatever may yet be done, or may have been done, is RETRY.
"""

from collections.abc import Mapping

from persistence import errors
from persistence.errors import RATE_REASONS, RefusalReason
from service.providers.adapter import Problem

_Reason = RefusalReason

REFUSALS: Mapping[RefusalReason, Problem] = {
    _Reason.WALLET_NOT_FOUND: Problem.CURRENCY,
    _Reason.REFERENCE_NOT_FOUND: Problem.REFERENCE_UNKNOWN,
    _Reason.TRANSACTION_ID_CONFLICT: Problem.ID_CONFLICT,
    _Reason.TRANSACTION_ROLLED_BACK: Problem.ROLLED_BACK,
    _Reason.BET_ROLLED_BACK: Problem.ROLLED_BACK,
    _Reason.BET_REFUSED: Problem.REFERENCE_UNKNOWN,
    _Reason.BET_SETTLED: Problem.REFUSED,
    _Reason.REFERENCE_MISMATCH: Problem.REFERENCE_UNKNOWN,
    _Reason.AMOUNT_MISMATCH: Problem.REFUSED,
    _Reason.NOT_REVERSIBLE: Problem.REFUSED,
    _Reason.ROUND_CLOSED: Problem.REFUSED,
    _Reason.ZERO_AMOUNT_REFUSED: Problem.TYPES,
    _Reason.CURRENCY_DISABLED: Problem.CURRENCY,
    _Reason.SOURCE_DISABLED: Problem.PROVIDER_DISABLED,
    _Reason.WALLET_FROZEN: Problem.PLAYER_DISABLED,
    _Reason.WALLET_CLOSED: Problem.PLAYER_DISABLED,
    _Reason.INSUFFICIENT_FUNDS: Problem.FUNDS,
    _Reason.BALANCE_OVERFLOW: Problem.REFUSED,
    _Reason.WALLET_AMBIGUOUS: Problem.CURRENCY,
    _Reason.AMOUNT_TOO_SMALL: Problem.TYPES,
    _Reason.SESSION_UNKNOWN: Problem.TOKEN_UNKNOWN,
    _Reason.SESSION_OVER: Problem.TOKEN_EXPIRED,
    _Reason.SESSION_MISMATCH: Problem.GAME,
    **dict.fromkeys(RATE_REASONS, Problem.RETRY),
}
"""Of bets, wins and rollbacks. Other reasons are those of transactions that no provider can ask for."""


def problem_of(error: errors.StakeholdError) -> Problem | None:
    """None where it is a mistake of ours, or of who set it up: a provider has to send it again then, too, but
    a person has to be told.
    """
    match error:
        case errors.Refused():
            return REFUSALS.get(error.details.reason)
        case errors.NotDone() | errors.OutcomeUnknown() | errors.RateUnusable():
            return Problem.RETRY
        case errors.CurrencyUnknown() | errors.CurrencyDisabled():
            return Problem.CURRENCY
        case errors.WalletNotFound():
            return Problem.PLAYER_UNKNOWN
        case errors.FieldInvalid():
            return Problem.TYPES
        case _:
            return None

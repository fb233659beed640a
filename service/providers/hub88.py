"""Hub88's operator wallet, as an operator answers it: docs.hub88.io, Operator API Reference, Wallet API.

Hub88 signs bodies with RSA-SHA256 (X-Hub88-Signature, base64); answers are not signed. Amounts are counted in
hundred thousandths. What was understood is answered with HTTP 200 and a status. After anything else Hub88
asks again, a bet and a win a few times, a rollback some hundred times: so what is not known for certain is
never answered with 200, for a status would end the rollbacks.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from service.providers.adapter import (
    Adapter,
    Answer,
    Asked,
    BalanceAsked,
    BetAsked,
    Finding,
    PlayerAsked,
    Problem,
    Request,
    RollbackAsked,
    Unreadable,
    WinAsked,
)
from service.providers.amounts import Unit
from service.providers.json_bodies import Fields, Names, glimpsed, read_object, write_object

_HUNDRED_THOUSANDTHS = -5
_RETRY_STATUS = 503
_MOST_METADATA_CHARACTERS = 256
_KEPT = ("supplier_transaction_id", "supplier_user", "reward_uuid", "bet")
"""Fields that are kept with the entry, as metadata."""
_GLIMPSED = Names(request_id="request_uuid", player_id="user")
_FLAGS = ("is_free", "is_supplier_promo", "is_aggregated")

STATUSES: Mapping[Problem, str] = {
    Problem.SIGNATURE: "RS_ERROR_INVALID_SIGNATURE",
    Problem.TOO_LARGE: "RS_ERROR_WRONG_SYNTAX",
    Problem.NO_SUCH_PATH: "RS_ERROR_WRONG_SYNTAX",
    Problem.SYNTAX: "RS_ERROR_WRONG_SYNTAX",
    Problem.TYPES: "RS_ERROR_WRONG_TYPES",
    Problem.TOKEN_UNKNOWN: "RS_ERROR_INVALID_TOKEN",
    Problem.TOKEN_EXPIRED: "RS_ERROR_TOKEN_EXPIRED",
    Problem.CURRENCY: "RS_ERROR_WRONG_CURRENCY",
    Problem.PLAYER_UNKNOWN: "RS_ERROR_UNKNOWN",
    Problem.PLAYER_DISABLED: "RS_ERROR_USER_DISABLED",
    Problem.PROVIDER_DISABLED: "RS_ERROR_INVALID_PARTNER",
    Problem.GAME: "RS_ERROR_INVALID_GAME",
    Problem.FUNDS: "RS_ERROR_NOT_ENOUGH_MONEY",
    Problem.ID_CONFLICT: "RS_ERROR_DUPLICATE_TRANSACTION",
    Problem.REFERENCE_UNKNOWN: "RS_ERROR_TRANSACTION_DOES_NOT_EXIST",
    Problem.ROLLED_BACK: "RS_ERROR_TRANSACTION_ROLLED_BACK",
    Problem.REFUSED: "RS_ERROR_UNKNOWN",
    Problem.RETRY: "RS_ERROR_UNKNOWN",
}


class Hub88Options(BaseModel):
    """``country``, ``jurisdiction`` and ``sub_partner_id`` are told of every player by /user/info."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    country: str | None = None
    jurisdiction: str | None = None
    sub_partner_id: str | None = None
    free_bets_move_money: bool = False
    """Whether a bet with is_free takes its amount; otherwise it is recorded as one of nothing."""


class Hub88(Adapter):
    def __init__(self, options: Hub88Options) -> None:
        self._options = options
        told = options.model_dump(include={"country", "jurisdiction", "sub_partner_id"}, exclude_none=True)
        self._about_players: Mapping[str, str] = told

    def read(self, request: Request) -> Asked:
        reader = _READERS.get(request.path)
        if reader is None or request.method != "POST":
            raise Unreadable(Problem.NO_SUCH_PATH, glimpsed(request.body, _GLIMPSED))
        fields = read_object(request.body)
        try:
            return reader(self, fields)
        except Unreadable as unreadable:
            unreadable.asked = fields.glimpsed(_GLIMPSED)
            raise

    def write(self, asked: Asked, finding: Finding) -> Answer:
        status = "RS_OK" if finding.problem is None else STATUSES[finding.problem]
        told: dict[str, str | int] = {"status": status}
        if asked.player_id:
            told["user"] = asked.player_id
        if asked.request_id:
            told["request_uuid"] = asked.request_id
        if finding.balance is not None:
            told["currency"] = finding.balance.code
            told["balance"] = finding.balance.counted()
        if isinstance(asked, PlayerAsked) and finding.problem is None:
            told.update(self._about_players)
        status_code = _RETRY_STATUS if finding.problem is Problem.RETRY else 200
        return Answer(status_code, write_object(told))

    def _read_player(self, fields: Fields) -> Asked:
        return PlayerAsked(request_id=fields.text("request_uuid"), player_id=fields.text("user"))

    def _read_balance(self, fields: Fields) -> Asked:
        return BalanceAsked(
            request_id=fields.text("request_uuid"),
            player_id=fields.text("user"),
            token=fields.text("token"),
            unit=Unit("", _HUNDRED_THOUSANDTHS),
        )

    def _read_bet(self, fields: Fields) -> Asked:
        amount = fields.count("amount")
        is_free = fields.flag("is_free") and not self._options.free_bets_move_money
        metadata = _metadata(fields)
        if is_free:
            metadata["free_amount"] = str(amount)
        round_id = fields.optional_text("round")
        return BetAsked(
            request_id=fields.text("request_uuid"),
            player_id=fields.text("user"),
            token=fields.text("token"),
            transaction_id=fields.text("transaction_uuid"),
            unit=Unit(fields.text("currency"), _HUNDRED_THOUSANDTHS),
            amount=0 if is_free else amount,
            game=fields.text("game_code"),
            round=round_id,
            closes_round=fields.flag("round_closed") and bool(round_id),
            metadata=metadata,
            may_be_expired=fields.flag("is_supplier_promo"),
        )

    def _read_win(self, fields: Fields) -> Asked:
        is_prize = fields.flag("is_supplier_promo")
        reference = fields.optional_text("reference_transaction_uuid")
        if not reference and not is_prize and not fields.flag("is_free"):
            raise Unreadable(Problem.SYNTAX)
        round_id = fields.optional_text("round")
        return WinAsked(
            request_id=fields.text("request_uuid"),
            player_id=fields.text("user"),
            token=fields.optional_text("token"),
            transaction_id=fields.text("transaction_uuid"),
            unit=Unit(fields.text("currency"), _HUNDRED_THOUSANDTHS),
            amount=fields.count("amount"),
            reference=reference,
            is_prize=not reference,
            game=fields.optional_text("game_code"),
            round=round_id,
            closes_round=fields.flag("round_closed") and bool(round_id),
            metadata=_metadata(fields),
        )

    def _read_rollback(self, fields: Fields) -> Asked:
        return RollbackAsked(
            request_id=fields.text("request_uuid"),
            player_id=fields.text("user"),
            token=fields.optional_text("token"),
            transaction_id=fields.text("transaction_uuid"),
            original=fields.text("reference_transaction_uuid"),
            unit=Unit("", _HUNDRED_THOUSANDTHS),
            game=fields.optional_text("game_code"),
            round=fields.optional_text("round"),
            metadata=_metadata(fields),
        )


_READERS = {
    "/user/info": Hub88._read_player,
    "/user/balance": Hub88._read_balance,
    "/transaction/bet": Hub88._read_bet,
    "/transaction/win": Hub88._read_win,
    "/transaction/rollback": Hub88._read_rollback,
}


def _metadata(fields: Fields) -> dict[str, str]:
    """What is not needed and may be asked for one day. What cannot be shown is left out: it is no reason to
    refuse money.
    """
    kept = {name: fields.glimpse(name, longest=_MOST_METADATA_CHARACTERS) for name in _KEPT}
    flags = {name: "true" for name in _FLAGS if fields.flag(name)}
    return {name: value for name, value in kept.items() if value} | flags

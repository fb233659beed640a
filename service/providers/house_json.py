"""A plain protocol for games of the house, and for providers that can choose: docs/providers.md.

Amounts are decimal texts. Whatever a game may go on from is answered with 200; 503 means: send it again.
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
    Problem,
    Request,
    RollbackAsked,
    Unreadable,
    WinAsked,
)
from service.providers.amounts import Unit
from service.providers.json_bodies import Fields, Names, glimpsed, read_object, write_object

_STATUS_CODES: Mapping[Problem, int] = {
    Problem.SIGNATURE: 401,
    Problem.TOO_LARGE: 413,
    Problem.NO_SUCH_PATH: 404,
    Problem.SYNTAX: 400,
    Problem.TYPES: 400,
    Problem.RETRY: 503,
}
"""All other problems are refusals, and answered with 200."""
_GLIMPSED = Names(request_id="request_id", player_id="player_id")


class HouseOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HouseJson(Adapter):
    def __init__(self, options: HouseOptions) -> None:
        del options

    def read(self, request: Request) -> Asked:
        if request.method != "POST" or request.path not in {"/balance", "/bet", "/win", "/rollback"}:
            raise Unreadable(Problem.NO_SUCH_PATH, glimpsed(request.body, _GLIMPSED))
        fields = read_object(request.body)
        try:
            return _read(request.path, fields)
        except Unreadable as unreadable:
            unreadable.asked = fields.glimpsed(_GLIMPSED)
            raise

    def write(self, asked: Asked, finding: Finding) -> Answer:
        told = {"status": "ok" if finding.problem is None else finding.problem.value}
        if asked.request_id:
            told["request_id"] = asked.request_id
        if finding.balance is not None:
            told["currency"] = finding.balance.code
            told["balance"] = finding.balance.written()
        status_code = 200 if finding.problem is None else _STATUS_CODES.get(finding.problem, 200)
        return Answer(status_code, write_object(told))


def _read(path: str, fields: Fields) -> Asked:
    request_id, player_id = fields.optional_text("request_id"), fields.text("player_id")
    token, unit = fields.optional_text("token"), Unit(fields.text("currency"))
    if path == "/balance":
        return BalanceAsked(request_id=request_id, player_id=player_id, token=token, unit=unit)
    transaction_id = fields.text("transaction_id")
    game, round_id = fields.optional_text("game_id"), fields.optional_text("round_id")
    closes_round = fields.flag("close_round") and bool(round_id)
    if path == "/bet":
        return BetAsked(
            request_id=request_id,
            player_id=player_id,
            token=token,
            transaction_id=transaction_id,
            unit=unit,
            amount=fields.text("amount"),
            game=game,
            round=round_id,
            closes_round=closes_round,
        )
    if path == "/win":
        return WinAsked(
            request_id=request_id,
            player_id=player_id,
            token=token,
            transaction_id=transaction_id,
            unit=unit,
            amount=fields.text("amount"),
            reference=fields.optional_text("bet_id"),
            is_prize=fields.flag("prize"),
            game=game,
            round=round_id,
            closes_round=closes_round,
        )
    return RollbackAsked(
        request_id=request_id,
        player_id=player_id,
        token=token,
        transaction_id=transaction_id,
        original=fields.text("original_id"),
        unit=unit,
        game=game,
        round=round_id,
    )

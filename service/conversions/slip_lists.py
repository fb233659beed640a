"""Reads which slips to list, and shows them."""

from persistence.errors import FieldInvalid
from persistence.postgres.reading.slips import ListedSlip, SlipFilter, SlipPage
from persistence.slips import SlipState
from service.conversions.fields import read_optional_id, read_player_id
from service.conversions.results import KINDS
from service.conversions.slips import SLIP_STATES, slip_message
from service.conversions.times import timestamp_of_ms
from service.registry import CurrencyScales
from stakehold.v1 import sportsbook_service_pb2 as pb

_STATES_BY_NUMBER = {number: state for state, number in SLIP_STATES.items()}


def read_slip_filter(request: pb.ListSlipsRequest) -> SlipFilter:
    return SlipFilter(
        player_id=read_player_id(request.player_id),
        source_id=read_optional_id(request.source_id, "source_id"),
        states=tuple(_read_state(number, f"states[{index}]") for index, number in enumerate(request.states)),
    )


def slip_page_message(page: SlipPage, scales: CurrencyScales) -> pb.ListSlipsResponse:
    return pb.ListSlipsResponse(
        slips=[_listed_message(listed, scales) for listed in page.slips],
        next_page_token=page.next_page_token,
    )


def _listed_message(listed: ListedSlip, scales: CurrencyScales) -> pb.ListedSlip:
    return pb.ListedSlip(
        slip=slip_message(listed.slip, scales),
        source_id=listed.source_id,
        wallet_currency_code=listed.wallet_currency,
        kind=KINDS[listed.kind],
        opened_time=timestamp_of_ms(listed.opened_ms),
        changed_time=timestamp_of_ms(listed.changed_ms),
    )


def _read_state(number: int, field: str) -> SlipState:
    for known, state in _STATES_BY_NUMBER.items():
        if known == number:
            return state
    raise FieldInvalid(field, "must be a state of a slip")

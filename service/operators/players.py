"""A player at one glance."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from service.operators.office import Office
from service.operators.refusals import NotDone
from service.operators.reports import Dossier, Listing
from service.operators.rounds import SUMMARY, list_open_rounds
from service.operators.slips import list_open_slips
from service.operators.wallets import balance_columns
from stakehold.v1 import round_service_pb2 as pb
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub

MOST_TRANSACTIONS = 200
_MOST_AT_ONCE = 200


def show_player(
    office: Office,
    player_id: str,
    source_id: str,
    *,
    transactions: int,
    limit: int | None,
    recent_only: bool,
) -> Dossier:
    """Everything is of one moment; open rounds and slips beyond 200 are read one page after the other.

    With ``recent_only`` Postgres is not needed: it is what the store remembers by itself, and at most 200
    open rounds and slips. Raises NotDone where nothing is known of the player.
    """
    session = office.ask(
        RoundServiceStub(office.channel).ResumeSession,
        pb.ResumeSessionRequest(
            player_id=player_id,
            source_id=source_id,
            max_transactions=transactions,
            max_rounds=_MOST_AT_ONCE,
            max_slips=_MOST_AT_ONCE,
            recent_only=recent_only,
        ),
    )
    if not session.balances and not session.transactions:
        where = "the store remembers nothing of" if recent_only else "nothing is known of"
        raise NotDone(f"{where} player {player_id} (WALLET_NOT_FOUND).", reason="WALLET_NOT_FOUND")
    rounds = list_open_rounds(office, player_id, source_id, limit=limit)
    if recent_only or not session.more_open_rounds:
        rounds = _told(rounds, session.open_rounds, limit, has_more=session.more_open_rounds)
    slips = list_open_slips(office, player_id, source_id, limit=limit)
    if recent_only or not session.more_open_slips:
        slips = _told(slips, session.open_slips, limit, has_more=session.more_open_slips)
    return Dossier(
        {"player_id": player_id},
        [
            Listing("balances", "Wallets", balance_columns(), session.balances),
            rounds,
            slips,
            Listing("transactions", "Newest transactions", SUMMARY, session.transactions),
        ],
    )


def _told(listing: Listing, items: Sequence[Any], limit: int | None, *, has_more: bool) -> Listing:
    """The same listing, of what a session has told instead."""
    is_cut = has_more or (limit is not None and len(items) > limit)
    return replace(listing, items=items[:limit], lacks_some=is_cut)

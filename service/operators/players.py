"""A player at one glance."""

from service.operators.office import Office
from service.operators.refusals import NotDone
from service.operators.reports import Dossier, Listing
from service.operators.rounds import ROUND, SUMMARY, list_open_rounds
from service.operators.slips import list_open_slips
from service.operators.wallets import balance_columns
from stakehold.v1 import round_service_pb2 as pb
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub

MOST_TRANSACTIONS = 200
_MOST_ROUNDS = 200


def show_player(
    office: Office,
    player_id: str,
    source_id: str,
    *,
    transactions: int,
    limit: int | None,
    recent_only: bool,
) -> Dossier:
    """Wallets, the newest transactions and, up to 200, open rounds are of one moment.

    With ``recent_only`` Postgres is not needed: it is what the store remembers by itself, without slips.
    Raises NotDone where nothing is known of the player.
    """
    session = office.ask(
        RoundServiceStub(office.channel).ResumeSession,
        pb.ResumeSessionRequest(
            player_id=player_id,
            source_id=source_id,
            max_transactions=transactions,
            max_rounds=_MOST_ROUNDS,
            recent_only=recent_only,
        ),
    )
    if not session.balances and not session.transactions:
        where = "the store remembers nothing of" if recent_only else "nothing is known of"
        raise NotDone(f"{where} player {player_id} (WALLET_NOT_FOUND).", reason="WALLET_NOT_FOUND")
    rounds = list_open_rounds(office, player_id, source_id, limit=limit)
    if recent_only or not session.more_open_rounds:
        rounds = Listing(rounds.name, rounds.title, ROUND, session.open_rounds[:limit])
    listings = [
        Listing("balances", "Wallets", balance_columns(), session.balances),
        rounds,
        Listing("transactions", "Newest transactions", SUMMARY, session.transactions),
    ]
    if not recent_only:
        listings.insert(2, list_open_slips(office, player_id, source_id, limit=limit))
    return Dossier({"player_id": player_id}, listings)

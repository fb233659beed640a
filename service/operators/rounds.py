"""Rounds, and the columns of transactions as rounds and sessions have them."""

from service.operators.cells import Column, text_at
from service.operators.office import Office
from service.operators.paging import Page, Paged
from service.operators.reports import Dossier, Listing
from stakehold.v1 import round_service_pb2 as pb
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub

MOST_TRANSACTIONS = 1000

ROUND = [
    Column("source_id"),
    Column("game_id"),
    Column("round_id"),
    Column("state"),
    Column("bet_count", is_number=True),
    Column("live_bet_count", is_number=True),
    Column("win_count", is_number=True),
    Column("last_time"),
    Column("closed_time", in_table=False),
    Column("player_id", in_table=False),
]
SUMMARY = [
    Column("booked_time"),
    Column("source_id"),
    Column("transaction_id"),
    Column("kind"),
    Column("state"),
    Column("amount", "amount.amount", is_number=True),
    Column("currency_code", "amount.currency_code"),
    Column("outcome", in_table=False),
    Column("refusal_reason"),
    Column("round_id"),
    Column("game_id", in_table=False),
    Column("reference_transaction_id"),
    Column("rollback_transaction_id", in_table=False),
    Column("late", in_table=False),
    Column("entry_id", in_table=False),
]
_TOTALS = [
    Column("currency_code"),
    Column("bet_count", is_number=True),
    Column("staked", is_number=True),
    Column("win_count", is_number=True),
    Column("won", is_number=True),
    Column("late_count", is_number=True),
    Column("late", is_number=True),
    Column("net", is_number=True),
]
_HEAD = (
    "round.player_id",
    "round.source_id",
    "round.game_id",
    "round.round_id",
    "round.state",
    "opened_time",
    "round.last_time",
    "round.closed_time",
    "rollback_count",
    "unsettled_bet_count",
    "transaction_count",
)


def show_round(
    office: Office, source_id: str, player_id: str, game_id: str, round_id: str, *, limit: int | None
) -> Dossier:
    """The round, its sums by currency, and its newest transactions."""
    answer = office.ask(
        RoundServiceStub(office.channel).GetRound,
        pb.GetRoundRequest(
            source_id=source_id,
            player_id=player_id,
            game_id=game_id,
            round_id=round_id,
            max_transactions=min(limit or MOST_TRANSACTIONS, MOST_TRANSACTIONS),
        ),
    )
    head = {path.removeprefix("round."): text_at(answer, path) for path in _HEAD}
    return Dossier(
        head,
        [
            Listing("totals", "Sums of what stands", _TOTALS, answer.totals),
            Listing(
                "transactions",
                "Transactions, newest first",
                SUMMARY,
                answer.transactions,
                lacks_some=answer.transaction_count > len(answer.transactions),
            ),
        ],
        message=answer,
    )


def list_open_rounds(office: Office, player_id: str, source_id: str, *, limit: int | None) -> Listing:
    rounds = RoundServiceStub(office.channel)

    def fetch(size: int, token: str) -> Page[pb.Round]:
        request = pb.ListOpenRoundsRequest(
            player_id=player_id, source_id=source_id, page_size=size, page_token=token
        )
        answer = office.ask(rounds.ListOpenRounds, request)
        return Page(answer.rounds, answer.next_page_token)

    return Listing("open_rounds", "Open rounds in which bets stand", ROUND, Paged(fetch, limit))

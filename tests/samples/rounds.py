"""Rounds that are open and closed."""

from tests.reference import Credit, Money, Policies
from tests.samples.case import Case, No, Ok, again, one
from tests.steps import bet, closing, credit, rollback, win

ROUNDS = [
    Case(
        "a win of zero closes a lost round: a bet on it is refused, a replay still replays",
        [
            one(bet("b1", "10", round_id="r1", game_id="g1")),
            one(closing(win("w1", "0", round_id="r1", game_id="g1")), Ok(after="90.00")),
            one(bet("b2", "1", round_id="r1", game_id="g1"), No("ROUND_CLOSED")),
            one(bet("b2", "1", round_id="r1", game_id="g1"), No("ROUND_CLOSED", replayed=True)),
            one(bet("b1", "10", round_id="r1", game_id="g1"), again(after="90.00")),
            one(bet("b3", "1", round_id="r1", game_id="g2")),
            one(bet("b4", "1", round_id="r1")),
        ],
        cash="88.00",
    ),
    Case(
        "a win on a closed round is taken and flagged late",
        [
            one(closing(bet("b1", "10", round_id="r1", game_id="g1"))),
            one(win("w1", "5", of="b1", round_id="r1", game_id="g1"), Ok(late=True)),
            one(win("w2", "5", of="b1"), Ok(late=True)),
            one(win("w3", "5", round_id="r1", game_id="g1"), Ok(late=True)),
            one(win("w1", "5", of="b1", round_id="r1", game_id="g1"), Ok(late=True, replayed=True)),
        ],
        cash="105.00",
    ),
    Case(
        "a win on a closed round is refused where the source wants that",
        [
            one(closing(bet("b1", "10", round_id="r1", game_id="g1"))),
            one(win("w1", "5", of="b1", round_id="r1", game_id="g1"), No("ROUND_CLOSED")),
            one(win("w2", "5", of="b1"), No("ROUND_CLOSED")),
            one(credit("j1", "JACKPOT_WIN", "1")),
        ],
        cash="91.00",
        policies=Policies(late_win="REFUSE"),
    ),
    Case(
        "a round may be closed before its first bet, and a rollback does not open it again",
        [
            one(closing(Credit("j1", "JACKPOT_WIN", Money("EUR", "1"), round_id="r1"))),
            one(bet("b1", "1", round_id="r1"), No("ROUND_CLOSED")),
            one(rollback("x1", "j1")),
            one(bet("b2", "1", round_id="r1"), No("ROUND_CLOSED")),
        ],
        cash="100.00",
    ),
    Case(
        "two bets of one round are settled each on its own",
        [
            one(bet("b1", "10", round_id="r1", game_id="g1")),
            one(bet("b2", "20", round_id="r1", game_id="g1")),
            one(win("w1", "15", of="b1", round_id="r1", game_id="g1")),
            one(rollback("r2", "b2")),
            one(rollback("r1", "b1"), No("BET_SETTLED")),
        ],
        cash="105.00",
    ),
]

"""Whose turn it is in a sweep."""

from itertools import pairwise

from persistence.forgetting import EVERYBODY, Turns
from persistence.transactions import PlayerId

PLAYERS = [PlayerId(f"player-{number}") for number in range(200)]
EVERY_MS = 1000


def test_everybody_has_a_turn_in_a_first_sweep() -> None:
    assert all(Turns(0, 1_700_000_000_000, EVERY_MS).include(player) for player in PLAYERS)
    assert all(EVERYBODY.include(player) for player in PLAYERS)


def test_everybody_has_one_turn_in_each_interval_however_often_is_swept() -> None:
    times = [0, 10, 350, 360, 361, 700, 999, 1400, 2000, 3000, 3500, 5000]
    sweeps = [Turns(after, until, EVERY_MS) for after, until in pairwise(times)]

    turns = [sum(turn.include(player) for turn in sweeps if turn.until_ms <= 3000) for player in PLAYERS]

    assert turns == [3] * len(PLAYERS)
    assert all(sweeps[-1].include(player) for player in PLAYERS)


def test_turns_are_spread_over_the_interval() -> None:
    in_a_tenth = sum(Turns(5000, 5000 + EVERY_MS // 10, EVERY_MS).include(player) for player in PLAYERS)

    assert 0 < in_a_tenth < len(PLAYERS) // 4


def test_nobody_has_a_turn_while_the_clock_is_behind() -> None:
    assert not any(Turns(5000, 4000, EVERY_MS).include(player) for player in PLAYERS)

"""Cursors: what was written is read back, and nothing else is."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.errors import CursorInvalid, CursorNotInLedger
from service.eventing.cursors import Cursor

LEDGER = UUID(int=7)
PLACES = st.integers(0, 2**63 - 1)


def read(text: str, *, ledger: UUID = LEDGER, count: int = 3) -> Cursor:
    return Cursor.read(text, ledger_id=ledger, partition_count=count)


@given(st.lists(PLACES, min_size=3, max_size=3))
def test_a_cursor_says_the_same_when_it_is_read_again(places: list[int]) -> None:
    positions = dict(enumerate(places))

    assert read(str(Cursor(LEDGER, positions))).positions == positions


def test_a_cursor_that_moved_is_the_one_that_was_made_there() -> None:
    moved = Cursor(LEDGER, {0: 1, 1: 2, 2: 3})
    moved.move(1, 9)
    moved.advance({2: 10})

    assert str(moved) == str(Cursor(LEDGER, {0: 1, 1: 9, 2: 10}))
    assert moved.positions == {0: 1, 1: 9, 2: 10}


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_damaged_cursor_is_told_from_a_good_one(place: int, flip: int) -> None:
    sealed = bytearray(urlsafe_b64decode(str(Cursor(LEDGER, {0: 1, 1: 2, 2: 3}))))
    sealed[place % len(sealed)] ^= flip

    with pytest.raises(CursorInvalid):
        read(urlsafe_b64encode(sealed).decode())


@pytest.mark.parametrize("text", ["", "A", "AAAA", "ä", "not base64", "\n"])
def test_nonsense_is_no_cursor(text: str) -> None:
    with pytest.raises(CursorInvalid):
        read(text)


def test_what_stands_behind_a_cursor_makes_it_none() -> None:
    with pytest.raises(CursorInvalid):
        read(str(Cursor(LEDGER, {0: 1, 1: 2, 2: 3})) + "\n")


def test_a_cursor_of_other_partitions_is_none() -> None:
    with pytest.raises(CursorInvalid):
        read(str(Cursor(LEDGER, {0: 1, 1: 2})))


def test_a_negative_place_is_none() -> None:
    with pytest.raises(CursorInvalid):
        read(str(Cursor(LEDGER, {0: 1, 1: -1, 2: 3})))


def test_a_cursor_of_another_ledger_is_named_as_such() -> None:
    with pytest.raises(CursorNotInLedger) as caught:
        read(str(Cursor(LEDGER, {0: 1, 1: 2, 2: 3})), ledger=UUID(int=8))

    assert caught.value.cause == "other_ledger"

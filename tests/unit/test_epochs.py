"""Which record follows which, across takeovers."""

import pytest

from persistence.epochs import EpochHistory, EpochStart
from persistence.transactions import OutboxPosition


def history(newest: int, **follows: str) -> EpochHistory:
    """``e2="1-4"``: epoch 2 follows 1-4."""
    starts = {
        int(name[1:]): EpochStart(int(name[1:]), OutboxPosition.parse(position))
        for name, position in follows.items()
    }
    return EpochHistory(newest, starts)


ONE = history(1)
ONE_WITH_ITS_ROW = history(1, e1="0--1")
TWO = history(2, e2="1-4")
TWO_FROM_THE_START = history(2, e1="0--1", e2="1--1")
PASSED_OVER = history(3, e2="1-4", e3="1-4")
FOLLOWS_AN_EMPTY_EPOCH = history(3, e2="1-4", e3="2--1")
FORKED_BACK = history(3, e2="1-4", e3="1-9")
THREE = history(3, e2="1-4", e3="2-6")
NO_ROW = history(2)


@pytest.mark.parametrize(
    ("epochs", "cursor", "following"),
    [
        (ONE, "1--1", "1-0"),
        (ONE, "1-4", "1-5"),
        (ONE_WITH_ITS_ROW, "1--1", "1-0"),
        (TWO, "1-3", "1-4"),
        (TWO, "1-4", "2-0"),
        (TWO, "1-5", None),
        (TWO, "2-0", "2-1"),
        (TWO_FROM_THE_START, "1--1", "2-0"),
        (history(2, e2="1--1"), "1--1", "2-0"),
        (PASSED_OVER, "1-4", "3-0"),
        (PASSED_OVER, "2-0", None),
        (FOLLOWS_AN_EMPTY_EPOCH, "1-4", "3-0"),
        (FORKED_BACK, "1-4", "1-5"),
        (FORKED_BACK, "1-9", "3-0"),
        (THREE, "1-4", "2-0"),
        (THREE, "2-6", "3-0"),
        (NO_ROW, "1-4", None),
        (NO_ROW, "2--1", "2-0"),
    ],
    ids=str,
)
def test_one_record_follows_each(epochs: EpochHistory, cursor: str, following: str | None) -> None:
    found = epochs.next_after(OutboxPosition.parse(cursor))

    assert found == (OutboxPosition.parse(following) if following else None)


@pytest.mark.parametrize(
    ("epochs", "position", "is_forked"),
    [
        (ONE, "1-99", False),
        (ONE, "2-0", True),
        (TWO, "1-4", False),
        (TWO, "1-5", True),
        (TWO, "3-0", True),
        (PASSED_OVER, "2-0", True),
        (FOLLOWS_AN_EMPTY_EPOCH, "2-0", True),
        (FORKED_BACK, "1-9", False),
        (FORKED_BACK, "2-0", True),
        (THREE, "2-6", False),
        (THREE, "2-7", True),
    ],
    ids=str,
)
def test_what_a_store_wrote_after_it_was_given_up_is_forked(
    epochs: EpochHistory, position: str, is_forked: bool
) -> None:
    assert epochs.is_forked(OutboxPosition.parse(position)) is is_forked

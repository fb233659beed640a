"""Entries folded to what the scripts leave: each rule of theirs as a line of a table."""

from dataclasses import replace

import pytest

from persistence.player_memory import Fields, KnownEntry, Texts, fold, recollect
from persistence.transactions import SEPARATOR, EntryType, Operation, TransactionKind
from persistence.valkey.records import transaction_fields
from tests.known_entries import (
    GAMES,
    SLOTS,
    bet,
    closing,
    entry,
    forestalled,
    name_of,
    other,
    refused,
    shown_ids,
    shown_rounds,
    told,
    undone,
    win,
)

B1, B1_IN_R1, B2_IN_R1 = bet("b1"), bet("b1", "r1"), bet("b2", "r1")
W1, W1_OF_B1 = win("w1"), win("w1", of="b1")
W1_OF_R1 = win("w1", round_="r1")
TIP = other("t1", Operation.DEBIT, TransactionKind.TIP, round_="r1")


@pytest.mark.parametrize(
    ("entries", "ids", "rounds"),
    [
        pytest.param((), {}, {}, id="nothing"),
        pytest.param((B1,), {"b1": "applied"}, {}, id="a bet without a round"),
        pytest.param((B1_IN_R1,), {"b1": "applied"}, {"r1": "open 1 1 0 0 1000"}, id="a bet in a round"),
        pytest.param(
            (B1_IN_R1, B2_IN_R1, win("w1", of="b1")),
            {"b1": "applied 1", "b2": "applied", "w1": "applied"},
            {"r1": "open 2 2 1 0 1002"},
            id="a win counts for its bet, and in its bet's round",
        ),
        pytest.param(
            (B1_IN_R1, win("w1", of="b1", round_="r1"), win("w2", of="b1", round_="r1")),
            {"b1": "applied 2", "w1": "applied", "w2": "applied"},
            {"r1": "open 1 1 2 0 1002"},
            id="two wins of one bet",
        ),
        pytest.param(
            (B1_IN_R1, W1_OF_R1),
            {"b1": "applied", "w1": "applied"},
            {"r1": "open 1 1 1 1 1001"},
            id="a win that names only the round is of no bet",
        ),
        pytest.param(
            (B1_IN_R1, other("f1", Operation.CREDIT, TransactionKind.REFUND, of="b1")),
            {"b1": "applied 1", "f1": "applied"},
            {"r1": "open 1 1 1 0 1001"},
            id="a refund settles as a win does",
        ),
        pytest.param(
            (
                B1_IN_R1,
                other("j1", Operation.CREDIT, TransactionKind.JACKPOT_WIN, of="b1", round_="r1"),
                other("d1", Operation.CREDIT, TransactionKind.DEPOSIT, of="b9"),
                TIP,
            ),
            {"b1": "applied", "j1": "applied", "d1": "applied", "t1": "applied"},
            {"r1": "open 1 1 0 0 1000"},
            id="other kinds settle nothing and are in no round",
        ),
        pytest.param(
            (B1_IN_R1, closing("c1", "r1"), closing("c2", "r1")),
            {"b1": "applied", "c1": "round_closed", "c2": "round_closed"},
            {"r1": "closed 1 1 0 0 1002  1001"},
            id="a round that is closed twice",
        ),
        pytest.param(
            (closing("c1", "r1"),),
            {"c1": "round_closed"},
            {"r1": "closed 0 0 0 0 1000  1000"},
            id="a round that is closed before anything was played in it",
        ),
        pytest.param((W1,), {"w1": "applied"}, {}, id="a win of nothing"),
        pytest.param(
            (win("w1", of="w1"),), {"w1": "applied 1"}, {}, id="a win that names itself counts for itself"
        ),
        # Rollbacks.
        pytest.param(
            (B1_IN_R1, undone("x1", B1_IN_R1)),
            {"b1": "rolled_back  x1", "x1": "applied"},
            {"r1": "open 1 0 0 0 1001"},
            id="a bet that was rolled back is not live",
        ),
        pytest.param(
            (B1_IN_R1, W1_OF_B1, undone("x1", W1_OF_B1)),
            {"b1": "applied 0", "w1": "rolled_back  x1", "x1": "applied"},
            {"r1": "open 1 1 0 0 1002"},
            id="a win that was rolled back does not count",
        ),
        pytest.param(
            (B1_IN_R1, W1_OF_R1, undone("x1", W1_OF_R1)),
            {"b1": "applied", "w1": "rolled_back  x1", "x1": "applied"},
            {"r1": "open 1 1 0 0 1002"},
            id="a win of the round alone, rolled back",
        ),
        pytest.param(
            (B1_IN_R1, W1_OF_B1, undone("x1", B1_IN_R1), undone("x2", W1_OF_B1)),
            {"b1": "rolled_back 0 x1", "w1": "rolled_back  x2", "x1": "applied", "x2": "applied"},
            {"r1": "open 1 0 0 0 1003"},
            id="a settled bet and then its win, where the source may",
        ),
        pytest.param(
            (TIP, undone("x1", TIP)),
            {"t1": "rolled_back  x1", "x1": "applied"},
            {},
            id="the rollback of what is in no round touches none",
        ),
        # Wins that came first.
        pytest.param(
            (W1_OF_B1,), {"w1": "applied", "b1": "awaited 1"}, {}, id="a win that came first awaits its bet"
        ),
        pytest.param(
            (W1_OF_B1, win("w2", of="b1"), undone("x1", W1_OF_B1)),
            {"w1": "rolled_back  x1", "b1": "awaited 1", "w2": "applied", "x1": "applied"},
            {},
            id="one of two wins that came first is taken back",
        ),
        pytest.param(
            (W1_OF_B1, undone("x1", W1_OF_B1)),
            {"w1": "rolled_back  x1", "b1": "awaited 0", "x1": "applied"},
            {},
            id="a bet that no win awaits any more",
        ),
        pytest.param(
            (W1_OF_B1, B1_IN_R1),
            {"w1": "applied", "b1": "applied 1"},
            {"r1": "open 1 1 0 0 1001"},
            id="the bet takes the wins over, its round does not",
        ),
        pytest.param(
            (W1_OF_B1, B1_IN_R1, undone("x1", W1_OF_B1)),
            {"w1": "rolled_back  x1", "b1": "applied 0", "x1": "applied"},
            {"r1": "open 1 1 -1 0 1002"},
            id="the rollback of a win that came first counts in the round that its bet has by then",
        ),
        pytest.param(
            (win("w1", of="b1", round_="r1"), B1_IN_R1, undone("x1", win("w1", of="b1", round_="r1"))),
            {"w1": "rolled_back  x1", "b1": "applied 0", "x1": "applied"},
            {"r1": "open 1 1 0 0 1002"},
            id="a win that came first and named the round counted there at once",
        ),
        pytest.param(
            (W1_OF_R1, B1_IN_R1),
            {"w1": "applied", "b1": "applied"},
            {"r1": "open 1 1 1 1 1001"},
            id="a win of a round that had no bet yet",
        ),
        pytest.param(
            (W1_OF_B1, refused(B1_IN_R1)),
            {"w1": "applied", "b1": "refused 1"},
            {},
            id="a refused bet takes the wins over",
        ),
        pytest.param(
            (W1_OF_B1, refused(B1_IN_R1), undone("x1", W1_OF_B1)),
            {"w1": "rolled_back  x1", "b1": "refused 0", "x1": "applied"},
            {"r1": "open 0 0 -1 0 1002"},
            id="the rollback of a win counts in the round of the bet that was refused",
        ),
        pytest.param(
            (W1_OF_B1, *forestalled("x1", "b1")),
            {"w1": "applied", "b1": "tombstone 1 x1", "x1": "no_movement"},
            {},
            id="a tombstone takes the wins over",
        ),
        pytest.param(
            (W1_OF_B1, *forestalled("x1", "b1"), undone("x2", W1_OF_B1)),
            {"w1": "rolled_back  x2", "b1": "tombstone 0 x1", "x1": "no_movement", "x2": "applied"},
            {},
            id="the rollback of the win of a tombstone",
        ),
        pytest.param(
            (W1_OF_B1, other("b1", Operation.DEBIT, TransactionKind.WITHDRAWAL)),
            {"w1": "applied", "b1": "applied 1"},
            {},
            id="any debit takes the wins over",
        ),
        pytest.param(
            (W1_OF_B1, other("b1", Operation.CREDIT, TransactionKind.DEPOSIT), undone("x1", W1_OF_B1)),
            {"w1": "rolled_back  x1", "b1": "applied -1", "x1": "applied"},
            {},
            id="a credit does not take the wins over",
        ),
        # What moved nothing.
        pytest.param(
            forestalled("x1", "b1"), {"x1": "no_movement", "b1": "tombstone  x1"}, {}, id="tombstone"
        ),
        pytest.param(
            (refused(B1_IN_R1), refused(bet("b2", "r2", closes=True))),
            {"b1": "refused", "b2": "refused"},
            {},
            id="refused bets are in no round and close none",
        ),
        pytest.param(
            (B1, refused(win("w1", of="b9", round_="r1"))),
            {"b1": "applied", "w1": "refused"},
            {},
            id="a refused win counts nowhere",
        ),
        pytest.param(
            (
                entry("open-EUR", None, None, type_=EntryType.WALLET_OPENED, source="stakehold"),
                entry("status-EUR-2", None, None, type_=EntryType.STATUS_CHANGED, source="stakehold"),
            ),
            {},
            {},
            id="changes of a wallet are no transactions",
        ),
        # Rounds that close.
        pytest.param(
            (bet("b1", "r1", closes=True),),
            {"b1": "applied"},
            {"r1": "closed 1 1 0 0 1000  1000"},
            id="a bet closes its round",
        ),
        pytest.param(
            (B1_IN_R1, win("w1", of="b1", round_="r1", closes=True), win("w2", of="b1")),
            {"b1": "applied 2", "w1": "applied", "w2": "applied"},
            {"r1": "closed 1 1 2 0 1002  1001"},
            id="a late win counts in the closed round",
        ),
        pytest.param(
            (replace(TIP, closes_round=True),),
            {"t1": "applied"},
            {"r1": "closed 0 0 0 0 1000  1000"},
            id="a transaction of no round's counts closes it all the same",
        ),
        pytest.param(
            (B1_IN_R1, replace(undone("x1", B1_IN_R1), closes_round=True)),
            {"b1": "rolled_back  x1", "x1": "applied"},
            {"r1": "open 1 0 0 0 1001"},
            id="a rollback closes no round",
        ),
        pytest.param(
            (B1_IN_R1, win("w1", of="b1", round_="r2", closes=True)),
            {"b1": "applied 1", "w1": "applied"},
            {"r1": "open 1 1 0 0 1000", "r2": "closed 0 0 1 0 1001  1001"},
            id="the round that a win names goes before its bet's",
        ),
        # Scopes.
        pytest.param(
            (
                B1_IN_R1,
                bet("b1", "r1", source=SLOTS),
                win("w1", of="b1", source=SLOTS),
                undone("x1", B1_IN_R1),
            ),
            {"b1": "rolled_back  x1", "x1": "applied", "slots:b1": "applied 1", "slots:w1": "applied"},
            {"r1": "open 1 0 0 0 1003", "slots:g:r1": "open 1 1 1 0 1002"},
            id="two sources with the same ids",
        ),
        pytest.param(
            (B1_IN_R1, replace(B2_IN_R1, game="h"), replace(bet("b3", "r1"), game="")),
            {"b1": "applied", "b2": "applied", "b3": "applied"},
            {"r1": "open 1 1 0 0 1000", "h:r1": "open 1 1 0 0 1001", ":r1": "open 1 1 0 0 1002"},
            id="a round of another game, and of none",
        ),
    ],
)
def test_entries_leave_what_the_scripts_leave(
    entries: tuple[KnownEntry, ...], ids: dict[str, str], rounds: dict[str, str]
) -> None:
    texts = told(*entries)

    assert shown_ids(texts) == ids
    assert shown_rounds(texts) == rounds


FULL = KnownEntry(
    chain_position=8,
    type=EntryType.APPLIED,
    position="2-5-1",
    booked_ms="1700000000001",
    source=GAMES,
    transaction_id="w1",
    operation="credit",
    kind="win",
    fingerprint="f",
    currency="EUR",
    amount="100",
    cash_change="94",
    bonus_change="0",
    held_change="0",
    receivable_change="-6",
    wallet_version="7",
    wallet_status="debits_frozen",
    cash="-1",
    bonus="2",
    held="3",
    receivable="4",
    game="g",
    round="r",
    reference="b1",
    outcome="applied",
    late=True,
)
AFTER = ["7", "debits_frozen", "-1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(
            FULL,
            [
                *("applied", "f", "credit", "win", "2-5-1", "1700000000001", "EUR", "100"),
                *("94", "0", "0", "-6", *AFTER, "g", "r", "b1", "applied", "", "", "1", ""),
            ],
            id="applied",
        ),
        pytest.param(
            replace(FULL, late=False, amount="0"),
            [
                *("applied", "f", "credit", "win", "2-5-1", "1700000000001", "EUR", "0"),
                *("94", "0", "0", "-6", *AFTER, "g", "r", "b1", "applied", "", "", "", ""),
            ],
            id="of zero, and in time",
        ),
        pytest.param(
            replace(
                FULL,
                type=EntryType.REFUSED,
                cash_change="0",
                receivable_change="0",
                outcome="",
                reason="WALLET_CLOSED",
                related="t0",
                late=False,
            ),
            [
                *("refused", "f", "credit", "win", "2-5-1", "1700000000001", "EUR", "100"),
                *("", "", "", "", *AFTER, "g", "r", "b1", "", "WALLET_CLOSED", "t0", "", ""),
            ],
            id="refused, with the wallet as it was",
        ),
        pytest.param(
            replace(forestalled("w1", "b1")[0], fingerprint="f", outcome="no_original"),
            [
                *("no_movement", "f", "rollback", "rollback", "", "", "", "", "", "", "", ""),
                *("", "", "", "", "", "", "", "", "b1", "no_original", "", "", "", ""),
            ],
            id="a rollback of nothing, without an amount",
        ),
        pytest.param(
            replace(forestalled("x1", "w1")[1], position="1-2-3", booked_ms="4"),
            [
                *("tombstone", "", "", "", "1-2-3", "4", "", "", "", "", "", ""),
                *("", "", "", "", "", "", "", "", "", "", "", "x1", "", ""),
            ],
            id="tombstone",
        ),
    ],
)
def test_a_record_is_written_field_by_field(entry: KnownEntry, expected: list[str]) -> None:
    assert fold([entry]).ids[SEPARATOR.join((GAMES, "w1"))].split(SEPARATOR) == expected


def test_an_awaited_id_has_nothing_but_its_wins_and_the_time_of_the_last() -> None:
    texts = told(W1_OF_B1, B2_IN_R1, win("w2", of="b1"))

    record = transaction_fields(texts.ids[SEPARATOR.join((GAMES, "b1"))])
    assert {name: value for name, value in record.items() if value} == {
        "state": "awaited",
        "wins": "2",
        "booked_ms": "1002",
    }


def test_a_bet_keeps_its_own_time_when_its_wins_are_counted() -> None:
    texts = told(W1_OF_B1, B1, win("w2", of="b1"))

    record = transaction_fields(texts.ids[SEPARATOR.join((GAMES, "b1"))])
    assert (record["wins"], record["booked_ms"], record["position"]) == ("2", "1001", "1-1-0")


@pytest.mark.parametrize(
    ("entry", "ids", "rounds"),
    [
        (B1_IN_R1, {"b1"}, {"g:r1"}),
        (replace(B1_IN_R1, game=""), {"b1"}, {":r1"}),
        (W1_OF_B1, {"w1", "b1"}, set()),
        (forestalled("x1", "b1")[1], {"b1"}, set()),
        (entry("open-EUR", None, None, type_=EntryType.WALLET_OPENED, source="stakehold"), set(), set()),
    ],
)
def test_an_entry_touches_its_id_and_what_it_names(
    entry: KnownEntry, ids: set[str], rounds: set[str]
) -> None:
    touches = entry.touches()

    assert {name_of(name) for name in touches.ids} == ids
    assert {name_of(name) for name in touches.rounds} == rounds


@pytest.mark.parametrize(
    ("wanted", "ids", "rounds"),
    [
        pytest.param("b1", {"b1"}, {"g:r1"}, id="a bet brings its round, not its wins"),
        pytest.param("x1", {"x1", "w1", "b1"}, {"g:r1"}, id="a rollback brings all down to the round"),
        pytest.param("w2", {"w2", "b9"}, set(), id="a win brings what it awaits"),
        pytest.param("b7", set(), set(), id="nothing brings nothing"),
    ],
)
def test_what_is_recalled_brings_what_it_refers_to(wanted: str, ids: set[str], rounds: set[str]) -> None:
    texts = told(B1_IN_R1, B2_IN_R1, W1_OF_B1, undone("x1", W1_OF_B1), win("w2", of="b9"))

    found = recollect(Fields((SEPARATOR.join((GAMES, wanted)),)), texts)

    assert {name_of(name) for name in found.ids} == ids
    assert {name_of(name) for name in found.rounds} == rounds
    assert found.ids.items() <= texts.ids.items()
    assert found.rounds.items() <= texts.rounds.items()


def test_a_round_is_recalled_without_its_transactions() -> None:
    r1, r2 = (SEPARATOR.join((GAMES, "g", name)) for name in ("r1", "r2"))
    texts = told(B1_IN_R1, W1_OF_B1)

    assert recollect(Fields(rounds=(r1, r2)), texts) == Texts({}, {r1: texts.rounds[r1]})


def test_ids_that_refer_to_each_other_are_recalled_once() -> None:
    texts = told(win("w1", of="w2"), win("w2", of="w1"))

    found = recollect(Fields((SEPARATOR.join((GAMES, "w1")),)), texts)

    assert found.ids == texts.ids

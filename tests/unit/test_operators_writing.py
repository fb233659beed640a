"""Reports in their formats, and lists page by page, without a service."""

import csv
import io
import json
from collections.abc import Iterator

import pytest

from service.operators.cells import Column
from service.operators.paging import Page, Paged
from service.operators.reports import Dossier, Listing
from service.operators.writing import written
from stakehold.v1 import command_pb2, ledger_service_pb2, transaction_pb2, wallet_service_pb2

COLUMNS = [Column("currency_code"), Column("cash", is_number=True), Column("held", in_table=False)]


def balance(code: str, cash: str) -> transaction_pb2.WalletBalance:
    return transaction_pb2.WalletBalance(currency_code=code, cash=cash)


def test_what_others_have_sent_does_not_move_a_terminals_cursor() -> None:
    listing = Listing("x", "X", COLUMNS, [balance("a\x1b[2J\n\x9b1b", "1")])

    lines = "".join(written(listing, "table")).splitlines()

    assert [line.split() for line in lines] == [["currency_code", "cash"], ["a\\x1b[2J\\n\\x9b1b", "1"]]


def test_a_csv_keeps_every_sign_and_quotes_what_it_must() -> None:
    listing = Listing("x", "X", COLUMNS, [balance('a,"b"\n', "-1.00")])

    text = "".join(written(listing, "csv"))

    assert text == 'currency_code,cash,held\r\n"a,""b""\n",-1.00,\r\n'
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == ['a,"b"\n', "-1.00", ""]


def test_numbers_stand_on_the_right_and_later_rows_may_widen_a_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.operators.writing._ROWS_AT_ONCE", 2)
    rows = [balance("EUR", "1"), balance("USDT", "200"), balance("BTC", "10000")]

    lines = "".join(written(Listing("x", "X", COLUMNS, rows), "table")).splitlines()

    assert lines == [
        "currency_code  cash",
        "EUR               1",
        "USDT            200",
        "BTC            10000",
    ]


@pytest.mark.parametrize(
    ("output", "empty"), [("table", "none\n"), ("json", "[\n\n]\n"), ("csv", "currency_code,cash,held\r\n")]
)
def test_nothing_is_written_as_nothing(output: str, empty: str) -> None:
    assert "".join(written(Listing("x", "X", COLUMNS, []), output)) == empty


def test_what_broke_off_is_no_json() -> None:
    def breaking() -> Iterator[transaction_pb2.WalletBalance]:
        yield balance("EUR", "1")
        raise ConnectionError

    text = io.StringIO()
    with pytest.raises(ConnectionError):
        text.writelines(written(Dossier({"a": "b"}, [Listing("x", "X", COLUMNS, breaking())]), "json"))

    assert '"currency_code": "EUR"' in text.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(text.getvalue())


def test_only_one_page_is_asked_for_at_a_time() -> None:
    asked: list[tuple[int, str]] = []

    def fetch(size: int, token: str) -> Page[int]:
        asked.append((size, token))
        start = int(token or 0)
        return Page(range(start, start + size), str(start + size))

    items = iter(Paged(fetch, 1200))
    for _ in range(501):
        next(items)

    assert asked == [(500, ""), (500, "500")]
    assert len(list(items)) == 699
    assert asked[2:] == [(200, "1000")]


def test_a_short_or_empty_page_is_not_the_last_one() -> None:
    pages = {"": Page([1], "a"), "a": Page(list[int](), "b"), "b": Page([2, 3], "")}

    paged = Paged(lambda _, token: pages[token], 3)

    assert list(paged) == [1, 2, 3]
    assert not paged.is_cut


def test_values_are_written_plainly() -> None:
    entry = ledger_service_pb2.Entry(
        kind=transaction_pb2.TRANSACTION_KIND_BET, hash=b"\x00\xff", late=True, metadata={"b": "1", "a": "ä"}
    )
    entry.booked_time.FromNanoseconds(1_700_000_000_123_000_000)
    columns = [
        Column(name)
        for name in ("kind", "outcome", "hash", "late", "metadata", "booked_time", "occurred_time", "version")
    ]

    texts = {column.name: column.text(entry) for column in columns}

    assert texts == {
        "kind": "BET",
        "outcome": "",
        "hash": "00ff",
        "late": "true",
        "metadata": '{"a": "\\u00e4", "b": "1"}',
        "booked_time": "2023-11-14T22:13:20.123Z",
        "occurred_time": "",
        "version": "0",
    }
    transact = command_pb2.Command(transact=wallet_service_pb2.TransactRequest(player_id="ada"))
    assert json.loads(Column("transact").text(transact))["player_id"] == "ada"

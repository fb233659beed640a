"""Reports as tables for people, as JSON and CSV for programs; piece by piece, as their items come."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from service.operators.cells import Column, as_json
from service.operators.reports import Dossier, Listing, Record, Report

TABLE, JSON, CSV = "table", "json", "csv"
FORMATS = (TABLE, JSON, CSV)
_ROWS_AT_ONCE = 500


def written(report: Report, output: str) -> Iterator[str]:
    """The document's pieces. A dossier has no CSV: the caller chooses a part of it before."""
    writers: dict[str, Callable[[Report], Iterator[str]]] = {TABLE: _as_table, JSON: _as_json, CSV: _as_csv}
    return writers[output](report)


def _as_json(report: Report) -> Iterator[str]:
    match report:
        case Record():
            yield json.dumps(as_json(report.message), indent=2) + "\n"
        case Listing():
            yield from _array(report)
            yield "\n"
        case Dossier(message=None):
            yield "{\n"
            members = (_member(name, iter([json.dumps(text)])) for name, text in report.head.items())
            arrays = (_member(listing.name, _array(listing)) for listing in report.listings)
            yield from _between(",\n", chain(members, arrays))
            yield "\n}\n"
        case Dossier(message=message):
            assert message is not None
            yield json.dumps(as_json(message), indent=2) + "\n"


def _member(name: str, document: Iterator[str]) -> Iterator[str]:
    yield f"{json.dumps(name)}: "
    yield from document


def _array(listing: Listing) -> Iterator[str]:
    """An element a line. What ended too early lacks its bracket and is no JSON: nobody takes it for all."""
    yield "[\n"
    yield from _between(",\n", (iter([json.dumps(as_json(item))]) for item in listing.items))
    yield "\n]"


def _between(comma: str, documents: Iterator[Iterator[str]]) -> Iterator[str]:
    for place, document in enumerate(documents):
        if place:
            yield comma
        yield from document


def _as_csv(report: Report) -> Iterator[str]:
    """RFC 4180: lines end with CRLF, and what has a comma, a quote or a line's end in it is quoted."""
    assert not isinstance(report, Dossier)
    yield _csv_line([column.name for column in report.columns])
    for row in _rows(report, report.columns):
        yield _csv_line(row)


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _as_table(report: Report) -> Iterator[str]:
    match report:
        case Record():
            yield from _pairs([(column.name, column.text(report.message)) for column in report.columns])
        case Listing():
            yield from _table(report)
        case Dossier():
            yield from _pairs(list(report.head.items()))
            for listing in report.listings:
                yield f"\n{listing.title}\n"
                yield from _table(listing)


def _pairs(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max((len(name) for name, _ in pairs), default=0)
    for name, text in pairs:
        yield f"{name.ljust(width)}  {_shown(text)}\n"


def _table(listing: Listing) -> Iterator[str]:
    """Columns are as wide as the first rows need; later ones may make them wider."""
    columns = [column for column in listing.columns if column.in_table]
    rows = ([_shown(text) for text in row] for row in _rows(listing, columns))
    names = [column.name for column in columns]
    widths, is_first = [len(name) for name in names], True
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        widths = [
            max(width, *map(len, cells)) for width, cells in zip(widths, zip(*some, strict=True), strict=True)
        ]
        yield from (_aligned(row, widths, columns) for row in ([names, *some] if is_first else some))
        is_first = False
    if is_first:
        yield "none\n"


def _aligned(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    cells = (
        text.rjust(width) if column.is_number else text.ljust(width)
        for text, width, column in zip(row, widths, columns, strict=True)
    )
    return "  ".join(cells).rstrip() + "\n"


def _shown(text: str) -> str:
    """For a terminal: what others have sent must not move its cursor or break its lines."""
    if not text:
        return "-"
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def _rows(report: Listing | Record, columns: Sequence[Column]) -> Iterator[list[str]]:
    messages: Any
    match report:
        case Record():
            messages = [report.message]
        case Listing():
            messages = chain(report.before, report.items, _late(report))
    for message in messages:
        yield [column.text(message) for column in columns]


def _late(listing: Listing) -> Iterator[Any]:
    yield from listing.after()

"""Rates from a file, as JSON or CSV: for development, and for people who know better than the market.

    {"rates": [{"base": "EUR", "quote": "USD", "mid": "1.0842", "published_time": "2026-11-20T16:00:00Z"}]}

or, in a .csv file, the same four columns under a line with their names.
"""

import asyncio
import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from fx.feeds.feed import (
    MAX_BODY_BYTES,
    FeedMalformed,
    FeedRate,
    FeedUnavailable,
    PairName,
    read_code,
    read_plain_mid,
    read_time_ms,
    require_each_pair_once,
    require_not_of_the_future,
    shown,
)
from fx.feeds.json_text import read_json

NOW = "now"
"""As a published time: whenever it is asked. Whoever writes that vouches for the rate until it is changed."""

_FIELDS = ("base", "quote", "mid", "published_time")


@dataclass(frozen=True, slots=True)
class _Line:
    """A rate of the file. ``published_ms`` is None for one of now."""

    pair: PairName
    mid: Decimal
    published_ms: int | None


_Version = tuple[int, int, int]
"""What tells that a file is another one, or was written to: inode, size, time of the last change."""


class StaticFileFeed:
    """Reads the file again when it has changed."""

    name = "static_file"

    def __init__(self, path: Path, *, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._now_ms = now_ms
        self._version: _Version | None = None
        self._lines: Sequence[_Line] = ()

    async def fetch(self) -> Sequence[FeedRate]:
        """Raises FeedUnavailable where the file cannot be read, and FeedMalformed."""
        try:
            await asyncio.to_thread(self._read_if_changed)
        except OSError as error:
            raise FeedUnavailable(f"{self._path} cannot be read: {error.strerror}") from error
        now_ms = self._now_ms()
        return require_each_pair_once([_rate(line, now_ms) for line in self._lines])

    def _read_if_changed(self) -> None:
        with self._path.open("rb") as file:
            version = _version(os.fstat(file.fileno()))
            if version == self._version:
                return
            self._version = None
            body = file.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise FeedMalformed(f"larger than {MAX_BODY_BYTES} bytes")
        self._lines = _csv_lines(body) if self._path.suffix == ".csv" else _json_lines(body)
        self._version = version


def _version(status: os.stat_result) -> _Version:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _rate(line: _Line, now_ms: int) -> FeedRate:
    published_ms = now_ms if line.published_ms is None else line.published_ms
    require_not_of_the_future(published_ms, now_ms=now_ms)
    return FeedRate(*line.pair, line.mid, published_ms)


def _json_lines(body: bytes) -> Sequence[_Line]:
    document = read_json(body)
    lines = document.get("rates") if isinstance(document, dict) else None
    if not isinstance(lines, list):
        raise FeedMalformed('no object with a list of "rates"')
    return [_line(line) for line in lines]


def _csv_lines(body: bytes) -> Sequence[_Line]:
    try:
        reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig")), strict=True, skipinitialspace=True)
        if tuple(reader.fieldnames or ()) != _FIELDS:
            raise FeedMalformed(f"the first line is not {','.join(_FIELDS)}")
        return [_line(line) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FeedMalformed(f"no CSV: {shown(str(error))}") from error


def _line(line: object) -> _Line:
    if not isinstance(line, dict) or set(line) != set(_FIELDS):
        raise FeedMalformed(f"{shown(line)} has not exactly {', '.join(_FIELDS)}")
    pair = PairName(read_code(line["base"]), read_code(line["quote"]))
    if pair.base == pair.quote:
        raise FeedMalformed(f"a rate of {pair}")
    return _Line(pair, read_plain_mid(line["mid"], of=pair), _published_ms(line["published_time"]))


def _published_ms(text: object) -> int | None:
    return None if text == NOW else read_time_ms(text)

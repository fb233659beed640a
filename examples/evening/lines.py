"""The evening's lines, and the order they are written in."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from examples.evening.moves import Json

CODES = {
    "INVALID_FIELD": "INVALID_ARGUMENT",
    "CURRENCY_UNKNOWN": "INVALID_ARGUMENT",
    "WALLET_NOT_FOUND": "NOT_FOUND",
    "SOURCE_NOT_FOUND": "NOT_FOUND",
    "REFERENCE_NOT_FOUND": "NOT_FOUND",
    "TRANSACTION_ID_CONFLICT": "ALREADY_EXISTS",
    "VERSION_MISMATCH": "ABORTED",
    "SUBMISSION_ID_CONFLICT": "ALREADY_EXISTS",
}
"""The gRPC code of each reason that is not FAILED_PRECONDITION."""


def ok(**fields: Any) -> Json:
    """An expected answer that is OK."""
    return {"code": "OK"} | fields


def result(*outcomes: str, **fields: Any) -> Json:
    """One transaction's result inside an expected answer: any of the outcomes will do."""
    return {"outcome": list(outcomes)} | fields


def refusal(reason: str, **fields: Any) -> Json:
    """An expected refusal."""
    return {"code": CODES.get(reason, "FAILED_PRECONDITION"), "reason": reason} | fields


@dataclass(frozen=True, slots=True)
class Line:
    """One call. ``expect`` holds alternatives: the answer must fit one of them.

    Lines of one player with the same ``together`` are sent at once. The answer of a ``lost`` line never
    reaches its caller: it is thrown away ("dropped"), or the call is given up before it comes ("cancelled").
    A line with ``until_s`` is asked again for so many seconds, until the answer fits.
    """

    at_s: int
    player: str
    rpc: str
    request: Json
    expect: Sequence[Json]
    together: int = 0
    lost: str = ""
    until_s: int = 0

    def text(self) -> str:
        hours, rest = divmod(self.at_s, 3600)
        line: Json = {"at": f"{hours:02}:{rest // 60:02}:{rest % 60:02}", "player": self.player}
        if self.together:
            line["together"] = self.together
        if self.lost:
            line["lost"] = self.lost
        if self.until_s:
            line["until"] = self.until_s
        line |= {"rpc": self.rpc, "request": self.request, "expect": list(self.expect)}
        return json.dumps(line, ensure_ascii=True, separators=(",", ":"))


@dataclass(slots=True)
class Script:
    """Collects lines from all guests and gives them out by the clock, each guest's in their own order."""

    lines: list[Line] = field(default_factory=list)
    groups: int = 0

    def new_group(self) -> int:
        """A number for lines that are sent together."""
        self.groups += 1
        return self.groups

    def in_order(self) -> Iterator[str]:
        """The file's lines. Sorting is stable, so that lines of one moment stay as they were written."""
        for line in sorted(self.lines, key=lambda line: line.at_s):
            yield line.text() + "\n"

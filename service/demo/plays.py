"""The plays of the demo, and how their files are read (examples/README.md)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

Json = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, slots=True)
class Play:
    """A play that the examples have."""

    title: str
    file: Path


PLAYS: Mapping[str, Play] = MappingProxyType(
    {
        "evening": Play("An evening in a casino", EXAMPLES / "evening.jsonl"),
        "saturday": Play("A sportsbook Saturday", EXAMPLES / "saturday.jsonl"),
        "cashiers_day": Play("A cashier's day", EXAMPLES / "cashiers_day.jsonl"),
    }
)
"""By name, in the order in which the demo plays them."""


class PlayUnreadable(Exception):
    """A play's file is missing or is not one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One call, as examples/README.md describes it. ``number`` counts the file's lines from 1.

    A line with ``until_s`` is asked again for so many seconds, until its answer is one that is allowed.
    """

    number: int
    player: str
    rpc: str
    request: Json
    expect: Sequence[Json]
    together: int
    lost: str
    until_s: float = 0.0

    def page(self, token: str) -> "Line":
        """The same for the page that follows."""
        return replace(self, request=self.request | {"pageToken": token})

    def __str__(self) -> str:
        name = self.request.get("transactionId", "")
        return f"line {self.number}, {self.player} {self.rpc} {name}".rstrip()


Turn = tuple[Line, ...]
"""Lines of one player that are sent at the same time; nearly always one."""


def read_play(file: Path, *, player_suffix: str = "") -> list[Line]:
    """All lines in order. With a suffix to every player's id, a play can be played again."""
    try:
        texts = file.read_text(encoding="utf-8").splitlines()
        lines = [_parse(number, text, player_suffix) for number, text in enumerate(texts, start=1)]
    except OSError as error:
        raise PlayUnreadable(
            f"{file}: {error.strerror}. Run from a checkout, or name the file with --file."
        ) from error
    except (ValueError, KeyError) as error:
        raise PlayUnreadable(f"{file} is no play ({error}); see examples/README.md.") from error
    if not lines:
        raise PlayUnreadable(f"{file} is empty; see examples/README.md.")
    return lines


def acts_of(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """The operator's lines part a play: each run of them, and of the players' lines between, is an act."""
    for _, act in groupby(lines, key=lambda line: not line.player):
        yield list(act)


def turns_of(lines: Sequence[Line]) -> dict[str, list[Turn]]:
    """Each player's turns in order. The operator's lines stand under an empty name."""
    by_player: dict[str, list[Line]] = {}
    for line in lines:
        by_player.setdefault(line.player, []).append(line)
    return {player: list(_turns(theirs)) for player, theirs in by_player.items()}


def _turns(lines: Sequence[Line]) -> Iterator[Turn]:
    for _, group in groupby(lines, key=lambda line: (line.together, line.number * (not line.together))):
        yield tuple(group)


def _parse(number: int, text: str, player_suffix: str) -> Line:
    fields = json.loads(text)
    request = _renamed(fields["request"], player_suffix) if player_suffix else fields["request"]
    player = fields["player"] and fields["player"] + player_suffix
    together, lost, until_s = fields.get("together", 0), fields.get("lost", ""), fields.get("until", 0.0)
    return Line(number, player, fields["rpc"], request, fields["expect"], together, lost, until_s)


def _renamed(part: Any, suffix: str) -> Any:
    """A request with other players, submissions and cases, however deep they are named."""
    match part:
        case dict():
            return {
                name: value + suffix if name in _RENAMED else _renamed(value, suffix)
                for name, value in part.items()
            }
        case list():
            return [_renamed(value, suffix) for value in part]
        case _:
            return part


_RENAMED = ("playerId", "submissionId", "depositId", "withdrawalId", "correctionId")

"""Reads the evening's file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class EveningUnreadable(Exception):
    """The evening's file is missing or is not one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One call, as examples/README.md describes it. ``number`` counts the file's lines from 1."""

    number: int
    player: str
    rpc: str
    request: Json
    expect: Sequence[Json]
    together: int
    lost: str

    def __str__(self) -> str:
        name = self.request.get("transactionId", "")
        return f"line {self.number}, {self.player} {self.rpc} {name}".rstrip()


Turn = tuple[Line, ...]
"""Lines of one player that are sent at the same time; nearly always one."""


def read_evening(file: Path, *, player_suffix: str = "") -> list[Line]:
    """All lines in order. With a suffix to every player's id, an evening can be played again."""
    try:
        texts = file.read_text(encoding="utf-8").splitlines()
        lines = [_parse(number, text, player_suffix) for number, text in enumerate(texts, start=1)]
    except OSError as error:
        raise EveningUnreadable(
            f"{file}: {error.strerror}. Run from a checkout, or name the file with --evening."
        ) from error
    except (ValueError, KeyError) as error:
        raise EveningUnreadable(f"{file} is no evening ({error}); see examples/README.md.") from error
    if not lines:
        raise EveningUnreadable(f"{file} is empty; `python -m examples.evening` writes a new one.")
    return lines


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
    request = fields["request"]
    if "playerId" in request:
        request["playerId"] += player_suffix
    player = fields["player"] and fields["player"] + player_suffix
    together, lost = fields.get("together", 0), fields.get("lost", "")
    return Line(number, player, fields["rpc"], request, fields["expect"], together, lost)

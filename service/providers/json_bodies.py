"""Reads JSON as strictly as money asks for: one reading for each body, or none."""

import json
from dataclasses import dataclass
from typing import Any

from service.providers.adapter import Asked, Problem, Unreadable

_LONGEST_GLIMPSE = 128


class Fields:
    """The fields of a JSON object. All methods raise Unreadable: SYNTAX where a value is missing, TYPES where
    it is none that it may be.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """A field that must be there, and be a text that is not empty."""
        if self._values.get(name) is None:
            raise Unreadable(Problem.SYNTAX)
        found = self.optional_text(name)
        if not found:
            raise Unreadable(Problem.TYPES)
        return found

    def optional_text(self, name: str) -> str:
        """A text of printable ASCII, as all ids are; "" where there is none."""
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str) or not _is_printable(value):
            raise Unreadable(Problem.TYPES)
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where there is none."""
        value = self._values.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise Unreadable(Problem.TYPES)
        return value

    def count(self, name: str) -> int:
        """A whole number, not below zero, that must be there. 1.0 and 1e5 are none."""
        value = self._values.get(name)
        if value is None:
            raise Unreadable(Problem.SYNTAX)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise Unreadable(Problem.TYPES)
        return value

    def glimpse(self, name: str, *, longest: int = _LONGEST_GLIMPSE) -> str:
        """The text of a field if there is one that can be shown, else ""."""
        return _shown(self._values.get(name), longest)

    def glimpsed(self, names: "Names") -> Asked:
        """Who and what a body names that cannot be read any further: to be answered, and to be found again
        when its player's data are to be erased. A number may not stand there, but says who it is.
        """
        request_id, player_id = (
            str(value) if isinstance(value, int) and not isinstance(value, bool) else value
            for value in (self._values.get(names.request_id), self._values.get(names.player_id))
        )
        return Asked(request_id=_shown(request_id), player_id=_shown(player_id))


@dataclass(frozen=True, slots=True)
class Names:
    """What a protocol calls its fields."""

    request_id: str
    player_id: str


def glimpsed(body: bytes, names: Names) -> Asked:
    """Of a body that is not read, because nobody knows what it is for."""
    try:
        return read_object(body).glimpsed(names)
    except Unreadable:
        return Asked()


def read_object(body: bytes) -> Fields:
    """Raises Unreadable for what is not one JSON object in UTF-8, and where a name comes twice."""
    try:
        read = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Unreadable(Problem.SYNTAX) from None
    if not isinstance(read, dict):
        raise Unreadable(Problem.SYNTAX)
    return Fields(read)


def write_object(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()


def _shown(value: Any, longest: int = _LONGEST_GLIMPSE) -> str:
    return value if isinstance(value, str) and len(value) <= longest and _is_printable(value) else ""


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a name comes twice")
    return read


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")

"""JSON as rates need it: numbers are decimals and never floats, and no name counts twice."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from fx.feeds.feed import FeedMalformed, shown


def read_json(body: bytes) -> object:
    """Objects, lists, strings, booleans, None, and Decimal for each number. Raises FeedMalformed."""
    try:
        return json.loads(
            body,
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, InvalidOperation, RecursionError) as error:
        raise FeedMalformed(f"no JSON: {type(error).__name__}") from error


def read_object(value: object, *, what: str) -> Mapping[str, object]:
    """Raises FeedMalformed."""
    if isinstance(value, dict):
        return value
    raise FeedMalformed(f"{what} is {shown(value)}, not an object")


def _refuse_constant(text: str) -> NoReturn:
    raise FeedMalformed(f"{text} for a number")


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise FeedMalformed("an object with the same name twice")
    return made

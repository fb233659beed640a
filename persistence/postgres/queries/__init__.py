"""All queries of the ledger, each in a ``.sql`` file of this folder under its ``-- name --`` line."""

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME_LINE = re.compile(r"^-- (\w+) --$\n", re.MULTILINE)


def query(name: str) -> LiteralString:
    """The text of a query. Names are unique across files."""
    return _queries()[name]


@cache
def _queries() -> dict[str, LiteralString]:
    queries: dict[str, LiteralString] = {}
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            for name, text in parse(file.read_text(encoding="utf-8")).items():
                if name in queries:
                    raise ValueError(f"two queries are called {name}")
                queries[name] = text
    return queries


def parse(text: str) -> dict[str, LiteralString]:
    """The queries of one file by name. What stands before the first name line is commentary."""
    _, *parts = _NAME_LINE.split(text)
    names, bodies = parts[0::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"a query is named twice: {names}")
    return {
        name: cast("LiteralString", body.strip().rstrip(";"))
        for name, body in zip(names, bodies, strict=True)
    }

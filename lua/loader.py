"""Composes scripts from the files of this folder."""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

_INCLUDE = re.compile(r"^-- include: ([a-z_]+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A composed script. ``sha1`` is the hex digest by which EVALSHA names it."""

    name: str
    source: str
    sha1: str


def script_names() -> list[str]:
    """The scripts that can be loaded, in alphabetical order."""
    return sorted(
        entry.name.removesuffix(".lua") for entry in _folder().iterdir() if entry.name.endswith(".lua")
    )


def load_script(name: str) -> Script:
    """Composes one script. Raises FileNotFoundError for an unknown script or include."""
    source = _compose(_folder() / f"{name}.lua", included=set())
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _compose(file: Traversable, included: set[str]) -> str:
    def include(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in included:
            return ""
        included.add(name)
        return _compose(_folder() / "includes" / f"{name}.lua", included)

    return _INCLUDE.sub(include, file.read_text(encoding="utf-8"))


def _folder() -> Traversable:
    return resources.files("lua")

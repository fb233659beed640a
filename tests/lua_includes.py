"""Parts of the scripts, to be run alone by a real Valkey."""

from importlib import resources
from importlib.resources.abc import Traversable


def include_names() -> list[str]:
    return sorted(file.name.removesuffix(".lua") for file in _folder().iterdir())


def include(*names: str) -> str:
    """The text of includes, one after another, without what they include themselves."""
    return "\n".join(_folder().joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in names)


def _folder() -> Traversable:
    return resources.files("lua").joinpath("includes")

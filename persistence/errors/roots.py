"""What all errors have in common: whether anything was done, found, or well-formed."""

from collections.abc import Mapping
from typing import Self

_MOST_TOLD_BACK = 128


def briefly(text: str) -> str:
    """What a caller has sent, to be told back: an answer does not grow with what it refuses."""
    return text if len(text) <= _MOST_TOLD_BACK else f"{text[:_MOST_TOLD_BACK]}…"


class StakeholdError(Exception):
    """The root of everything that this service raises on purpose."""

    def metadata(self) -> Mapping[str, str]:
        """What explains it to a caller besides its words, by the names of the API's fields."""
        return {}


class NotDone(StakeholdError):
    """Nothing was done. The same id may ask again."""


class OutcomeUnknown(StakeholdError):
    """A script was sent and its answer did not come, or durability could not be confirmed."""


class NotFound(StakeholdError):
    """Something that was asked for does not exist."""


class FieldInvalid(StakeholdError):
    """A field of the request is malformed. ``field`` is its path in the request."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description

    def within(self, path: str) -> Self:
        """The same error, of a message that is part of a larger one."""
        self.field = f"{path}.{self.field}"
        self.args = (f"{self.field}: {self.description}",)
        return self

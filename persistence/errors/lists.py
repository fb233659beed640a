"""What is read page by page, or followed."""

from collections.abc import Mapping

from persistence.errors.roots import FieldInvalid, StakeholdError


class PageTokenInvalid(FieldInvalid):
    """The page token is not one of this list and filter."""

    def __init__(self) -> None:
        super().__init__("page_token", "not a next_page_token of this list with these filters")


class CursorInvalid(FieldInvalid):
    """A text that is no cursor of this service."""

    def __init__(self) -> None:
        super().__init__("cursor", "must be a cursor that came with a message of EventService.Subscribe")


class CursorNotInLedger(StakeholdError):
    """A subscription's cursor is of another ledger, or ahead of this one. ``cause`` is a word for which."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause

    def metadata(self) -> Mapping[str, str]:
        return {"cause": self.cause}


class SubscriberStalled(StakeholdError):
    """A subscriber took no message for too long. ``cursor`` resumes with the one that it did not take."""

    def __init__(self, cursor: str) -> None:
        super().__init__("no message was taken for too long; subscribe again from the last cursor")
        self.cursor = cursor

    def metadata(self) -> Mapping[str, str]:
        return {"cursor": self.cursor}

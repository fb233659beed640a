"""Who calls, and what they may not do."""

from collections.abc import Mapping

from persistence.errors.roots import NotFound, StakeholdError


class Unauthenticated(StakeholdError):
    """It is not known who calls. ``cause`` is a word for it; neither says anything of what was shown."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause

    def metadata(self) -> Mapping[str, str]:
        return {"cause": self.cause}


class NotPermitted(StakeholdError):
    """The caller is known and may not do this. Nothing was looked up, done or remembered.

    ``verb`` says what was asked for: an RPC or a command, with the kind where that is what may not be.
    """

    def __init__(self, message: str, *, caller: str, method: str, verb: str, source_id: str = "") -> None:
        super().__init__(message)
        self.caller = caller
        self.method = method
        self.verb = verb
        self.source_id = source_id

    def metadata(self) -> Mapping[str, str]:
        return {"caller": self.caller, "method": self.method, "verb": self.verb}


class SourceNotPermitted(NotPermitted):
    """The caller may not act as the source that the request names; or it has to name one, and did not."""

    def metadata(self) -> Mapping[str, str]:
        return {**super().metadata(), "source_id": self.source_id}


class VerbNotPermitted(NotPermitted):
    """None of the caller's roles may use the method, or move money for such a purpose."""


class ProviderNotFound(NotFound):
    """No provider of that id is configured."""

    def __init__(self, provider_id: str) -> None:
        super().__init__(f"provider {provider_id} is not known")
        self.provider_id = provider_id

    def metadata(self) -> Mapping[str, str]:
        return {"provider_id": self.provider_id}


class SessionNotFound(NotFound):
    """No session was ever opened under the token, which is not told."""

    def __init__(self) -> None:
        super().__init__("there is no session of this token")


class SessionConflict(StakeholdError):
    """The token is another session's."""

    def __init__(self) -> None:
        super().__init__("the token is another session's; take another one")

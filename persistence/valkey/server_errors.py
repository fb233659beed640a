"""What a server's error, in the place of a script's answer, says about the script and about the server."""

from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

_UNRUN = (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
_UNRUN_WORDS = ("MISCONF", "NOREPLICAS", "BUSY")

_DEMOTED = (BusyLoadingError, ClusterDownError, MasterDownError, MovedError, ReadOnlyError)
_DEMOTED_WORDS = ("UNBLOCKED",)


def says_unrun(error: RedisError) -> bool:
    """Whether the script certainly did not run. NOSCRIPT says so too, and is answered by sending again."""
    return isinstance(error, _UNRUN) or str(error).startswith(_UNRUN_WORDS)


def said_by(error: RedisError) -> str:
    """What the server said. The client library cuts off the code of those errors for which it has a class."""
    if isinstance(error, ResponseError) and type(error) is not ResponseError:
        return f"{type(error).__name__.removesuffix('Error').upper()} {error}"
    return str(error) or type(error).__name__


def says_demoted(error: RedisError) -> bool:
    """Whether the node may not be the primary any more: it is looked at anew before it is used again."""
    return isinstance(error, _DEMOTED) or str(error).startswith(_DEMOTED_WORDS)

"""What a process says of itself to whoever starts, stops and routes to it."""

from collections.abc import Callable


class Readiness:
    """Has the process started, and may it be given work? Starting at first, stopping at last.

    In between it is ready while ``is_usable``, given when it has started, says so.
    """

    def __init__(self) -> None:
        self._is_usable: Callable[[], bool] | None = None
        self._stopping = False

    def started(self, is_usable: Callable[[], bool] = lambda: True) -> None:
        """From now on it does what it is for."""
        self._is_usable = is_usable

    def stopping(self) -> None:
        """From now on it should be given no more."""
        self._stopping = True

    @property
    def has_started(self) -> bool:
        return self._is_usable is not None

    @property
    def is_ready(self) -> bool:
        return not self._stopping and self._is_usable is not None and self._is_usable()

"""When to tell of a file that cannot be used."""


class Complaints:
    """Each thing that is wrong is told once, and only when it was seen twice in a row: who replaces two files
    does one after the other.
    """

    def __init__(self) -> None:
        self._seen = ""
        self._told = ""

    def is_due(self, why: str) -> bool:
        """Whether it is to be told now."""
        was_seen, self._seen = why == self._seen, why
        if not was_seen or why == self._told:
            return False
        self._told = why
        return True

    def settled(self) -> None:
        """Nothing is wrong now."""
        self._seen = self._told = ""

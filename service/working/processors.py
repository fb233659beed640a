"""Whether the machine's processors are busy with others' work."""

from pathlib import Path

_SCHEDULED = Path("/proc/self/schedstat")
"""Nanoseconds that this process's main thread ran, and that it could have run and waited for a processor."""


class ProcessorQueue:
    """How long this process stands in line for a processor. Knows nothing where Linux does not tell."""

    def __init__(self, source: Path = _SCHEDULED) -> None:
        self._source = source
        self._ran, self._waited = self._read()

    def waiting_share(self) -> float:
        """Of the time since it was last asked in which there was something to do: the share spent waiting."""
        ran, waited = self._read()
        waiting, wanted = waited - self._waited, ran + waited - self._ran - self._waited
        self._ran, self._waited = ran, waited
        return waiting / wanted if wanted > 0 else 0.0

    def _read(self) -> tuple[int, int]:
        try:
            ran, waited, *_ = self._source.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return 0, 0
        return int(ran), int(waited)

"""How a trace is carried from one process to the next: the W3C's ``traceparent``."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

TRACEPARENT = "traceparent"

_TEXT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_LONGEST = 256
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span of somebody's. ``is_sampled``: who made it records it."""

    trace_id: int
    span_id: int
    is_sampled: bool

    @classmethod
    def parse(cls, text: str | bytes) -> "TraceContext | None":
        """None for what is none: that is as good as nothing."""
        if isinstance(text, bytes) or not 55 <= len(text) <= _LONGEST:
            return None
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))

    @classmethod
    def of_metadata(cls, metadata: Iterable[tuple[str, str | bytes]]) -> "TraceContext | None":
        """A call's, as it says. Who says two says none."""
        said = [value for key, value in metadata if key == TRACEPARENT]
        return cls.parse(said[0]) if len(said) == 1 else None

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{'01' if self.is_sampled else '00'}"

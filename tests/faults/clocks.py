"""Clocks that can be stepped while a process runs, where libfaketime is installed."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.embedded.binaries import VALKEY_SETTING, valkey_server

LIBRARY_SETTING = "FAULTS_LIBFAKETIME"
_PLACES = ("/usr/lib", "/usr/local/lib", "/lib")
_PATTERN = "**/faketime/libfaketimeMT.so.1"


def faketime_library() -> Path | None:
    """The library to preload: the one that FAULTS_LIBFAKETIME names, or Debian's libfaketime."""
    if explicit := os.environ.get(LIBRARY_SETTING):
        return Path(explicit)
    return next((found for place in _PLACES for found in Path(place).glob(_PATTERN)), None)


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock of whatever runs with ``environment``; its monotonic clock stays sound."""

    file: Path
    library: Path

    def step(self, seconds: int) -> None:
        """So far from the true time, at once."""
        unfinished = self.file.with_suffix(".new")
        unfinished.write_text(f"{seconds:+d}\n")
        unfinished.rename(self.file)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @contextmanager
    def wrapping_valkey(self) -> Iterator[None]:
        """A store that is started meanwhile has this clock: its binary is wrapped in a script."""
        before = os.environ.get(VALKEY_SETTING)
        wrapper = self.file.with_suffix(".sh")
        words = " ".join(f"{name}={text}" for name, text in self.environment.items())
        if not wrapper.exists():
            wrapper.write_text(f'#!/bin/sh\nexec env {words} {valkey_server().path} "$@"\n')
            wrapper.chmod(0o755)
        os.environ[VALKEY_SETTING] = str(wrapper)
        try:
            yield
        finally:
            if before is None:
                del os.environ[VALKEY_SETTING]
            else:
                os.environ[VALKEY_SETTING] = before


def clock(file: Path) -> Clock | None:
    """A sound clock; none where there is no library."""
    library = faketime_library()
    if library is None:
        return None
    made = Clock(file, library)
    made.step(0)
    return made

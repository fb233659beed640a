"""How commands begin, and how they say that they cannot."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from pydantic import ValidationError

from persistence.errors import LedgerUnavailable, SetupRefused, StoreUnavailable
from service.settings import Settings
from service.telemetry.trace_settings import TraceSettings

CANNOT_START = 2


def read_settings_or_exit() -> Settings:
    """The settings; for missing or malformed ones, a sentence each and exit status 2."""
    try:
        return Settings()
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in error["loc"]).upper()
            click.echo(f"STAKEHOLD_{name}: {error['msg']}", err=True)
        click.echo("see `stakehold settings`", err=True)
        sys.exit(CANNOT_START)


def trace_variables() -> Iterator[str]:
    """The settings of traces for the help of a command with others of its own, as paragraphs that click
    leaves as they are.
    """
    for name, field in TraceSettings.model_fields.items():
        default = field.default if field.default not in (None, "") else "none"
        yield f"\b\nSTAKEHOLD_{name.upper()}  (default: {default})\n{field.description}"


@contextmanager
def refuse_plainly() -> Iterator[None]:
    """Ends the program with a sentence and exit status 2 where it must not or cannot start."""
    try:
        yield
    except (SetupRefused, StoreUnavailable, LedgerUnavailable) as refused:
        click.echo(f"stakehold: {refused}", err=True)
        sys.exit(CANNOT_START)

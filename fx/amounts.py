"""Amounts between their two forms: decimal strings at the edges, integers of minor units inside.

Neither direction rounds, truncates or passes through a float.
"""

import re

MAX_DIGITS = 36

_AMOUNT = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_LONGEST_TEXT = 128


class AmountInvalid(ValueError):
    """A text that is not an exact amount of its currency. The message says why, as the end of a sentence."""


def parse_amount(text: str, scale: int) -> int:
    """Reads an amount, "12.50" at scale 2, as minor units, 1250.

    Raises AmountInvalid for a sign, an exponent, blanks, other digits than 0-9, a point without digits on
    both sides, more decimals than the scale, or more than 36 digits of minor units.
    """
    match = _AMOUNT.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None:
        raise AmountInvalid('must be digits, optionally with one point and more digits, like "12.50"')
    whole, decimals = match.group(1), match.group(2) or ""
    if len(decimals) > scale:
        raise AmountInvalid(f"must have at most {scale} decimals" if scale else "must have no decimals")
    minor = int(whole + decimals.ljust(scale, "0"))
    if minor >= 10**MAX_DIGITS:
        raise AmountInvalid(f"must have at most {MAX_DIGITS} digits in minor units")
    return minor


def format_amount(minor: int, scale: int) -> str:
    """Writes minor units, -5 at scale 2, as a decimal string with all its decimals, "-0.05"."""
    if scale == 0:
        return str(minor)
    sign = "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"

"""Decimal texts and integers of minor units."""

import re

MAX_DIGITS = 36
LIMIT = 10**MAX_DIGITS
PLAIN_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


def minor_units(text: str, scale: int) -> int | None:
    """None where the text is not exactly an amount of a currency with so many decimals."""
    match = PLAIN_DECIMAL.fullmatch(text)
    if match is None:
        return None
    whole, decimals = match[1], match[2] or ""
    if len(decimals) > scale:
        return None
    minor = int(whole) * 10**scale + int(decimals.ljust(scale, "0") or "0")
    return minor if minor < LIMIT else None


def decimal_text(minor: int, scale: int) -> str:
    """All decimals of the currency, a sign only below zero."""
    digits = str(abs(minor)).rjust(scale + 1, "0")
    sign = "-" if minor < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"

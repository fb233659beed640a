"""What no caller may send, and what every server refuses with the field named."""

MALFORMED_AMOUNTS = (
    "1e1",
    "1E1",
    "+5",
    "-0",
    "-1",
    " 5",
    "5 ",
    "5\n",
    "5\x00",
    "5,00",
    "1,000",
    "1_0",
    "0x10",
    "0b1",
    "٥",
    "５",
    "²",
    "",
    ".",
    ".5",
    "5.",
    "1.2.3",
    "NaN",
    "Infinity",
    "ten",
    "1" * 40,
    "1" + "0" * 36,
    "10.001",
    "10.000",
)
"""Amounts of a currency with two decimals."""

MALFORMED_IDS = (
    "",
    "x" * 129,
    "a\tb",
    "a\n",
    "a\x00",
    "a\x1fb",
    "a\x7f",
    "bét",
    "ставка",
    "🎰",
)
"""Ids of players, transactions, rounds and games. The empty one is no id, but may stand for having none."""

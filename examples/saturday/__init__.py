"""Writes ``examples/saturday.jsonl``: a sportsbook's Saturday, call by call, with what each call must answer.

Everything that is expected is worked out here on integers and fractions, from what docs/slips.md promises,
and never by asking the engine. The same seed writes the same file, byte for byte.
"""

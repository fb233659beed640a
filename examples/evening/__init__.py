"""Writes ``examples/evening.jsonl``: one evening in a casino, call by call, with what each call must answer.

Everything that is expected is worked out here with plain arithmetic, from what the API promises, and never by
asking the engine: so the file can prove the engine wrong. The same seed writes the same file, byte for byte.
"""

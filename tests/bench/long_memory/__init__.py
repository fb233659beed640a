"""``python -m tests.bench.long_memory``: what it costs to remember for ever, and to come back from a loss."""

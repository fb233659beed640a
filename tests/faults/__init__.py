"""Things broken on purpose under load, and the proof that nothing was lost and nothing doubled.

Real processes with lines of our own between all of them (``cast``), clients that ask again until they are
certain (``players``), a seeded schedule of faults (``schedule``), and a checker that trusts nobody: it holds
what callers were told against what the ledger says (``checker``). See docs/faults.md.
"""

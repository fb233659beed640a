"""Tells subscribers what the ledger commits: one tail for each server, shared by all its subscribers."""

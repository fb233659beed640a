"""Checks the ledger against itself and against the hot wallets."""

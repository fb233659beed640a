"""The ledger as signed files that prove themselves, and their verifier, which needs no database."""

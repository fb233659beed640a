"""Where money lives: the Valkey hot path, the Postgres ledger, and what they share."""

"""The durable ledger. The only place that imports asyncpg."""

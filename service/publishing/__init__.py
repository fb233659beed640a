"""From the ledger to a message broker. Only the command line and tests know this package."""

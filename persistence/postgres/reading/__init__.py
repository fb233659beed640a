"""The read side of the ledger: entries, statements and balances, each as of one moment."""

"""How a ledger and a store become one deployment, and how a store that is not the ledger's is found."""

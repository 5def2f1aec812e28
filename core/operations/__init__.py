"""Long work that outlives the terminal: the ledger, supervised processes, logs, follow and cancel."""

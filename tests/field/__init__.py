"""Cases from public reports, one table-driven file a kind."""

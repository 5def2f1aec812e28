"""Shipments: their signatures, whom a site trusts, and the audit log."""

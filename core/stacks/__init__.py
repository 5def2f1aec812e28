"""Stacks: several services as one compose project: what would change, and changing it."""

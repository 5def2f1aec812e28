"""Flows: named lists of steps that are run for an event."""

"""Notifications: rules, channels, and a durable outbox."""

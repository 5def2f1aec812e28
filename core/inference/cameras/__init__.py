"""Cameras: source (decode, reconnect) → pipeline (sampling, score) → manager."""

"""The HTTP API of the inference service."""

"""The inference service: what runs inside an image."""

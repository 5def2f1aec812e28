"""Long work inside the service."""

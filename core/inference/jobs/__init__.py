"""Long-running jobs of the service."""

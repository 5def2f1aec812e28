"""`xaiva clean`: what takes space and is no longer needed, as a plan, and its removal."""

"""Object storage: buckets and folders behind one class."""

"""Object storage: buckets and folders behind one class."""

from core.inference.storage.opening import open_storage

__all__ = ["open_storage"]

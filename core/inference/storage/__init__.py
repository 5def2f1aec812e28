"""Object storage: buckets and folders behind one class."""

from core.inference.storage.opening import open_mirror, open_storage

__all__ = ["open_mirror", "open_storage"]

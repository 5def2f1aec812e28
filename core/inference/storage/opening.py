"""Opens the object storage that the settings name."""

from __future__ import annotations

import os

from core.inference.settings import ServiceSettings
from core.inference.storage.address import BucketAddress, read_address
from core.inference.storage.model import ObjectStorage
from core.inference.storage.signed_urls import UrlSigner


def open_storage(settings: ServiceSettings) -> ObjectStorage:
    """The bucket or folder of XAIVA_STORAGE_URL. Connects to nothing yet. Raises InputError for an unusable address."""
    address = read_address(settings.storage_url, settings.data, os.environ)
    if isinstance(address, BucketAddress):
        from core.inference.storage.bucket import Bucket  # folders need no client

        return Bucket(address)
    from core.inference.storage.folder import Folder

    return Folder(address.path, UrlSigner(settings.data), create=address.made)

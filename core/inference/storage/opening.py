"""Opens the object storage that the settings name, and what was fetched from it."""

from __future__ import annotations

import os

from core.inference.settings import ServiceSettings
from core.inference.storage.address import BucketAddress, read_address
from core.inference.storage.fetch import Mirror
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


def open_mirror(settings: ServiceSettings) -> Mirror:
    """The pictures of the storage as files of this machine, which all jobs share."""
    return Mirror(open_storage(settings), settings.inspection_folder / "pictures", settings.storage_connections)

"""The features of a product's pictures from earlier runs, by content: a later run computes only what is new.

One file for each picture below a folder for each product, network and cut. After a run only the files of pictures that
it used are left, so the cache never holds more than the storage does. What the disk does not take is kept in memory, as
far as it fits there.
"""

from __future__ import annotations

import hashlib
import io
import logging
import shutil
from collections.abc import Collection
from contextlib import suppress

import numpy as np

from core.api_schema import Region
from core.errors import TransientError, XaivaError, os_reason
from core.files import TEMPORARY_PREFIX
from core.inference.models.bank_files import bank_generations
from core.inference.models.features import Backbone
from core.inference.models.product_bank import PictureFeatures
from core.inference.settings import ServiceSettings

logger = logging.getLogger(__name__)

FORMAT = 1  # raised when features are computed in another way
MAX_HELD = 76_000_000  # numbers in memory that the disk does not take: 152 MB
_DIGEST_BYTES = 32


class FeatureCache:
    """The features of one product by a loaded network under one cut.

    A disk that is full costs the next run time; this one fails only when memory does not hold what is not written.
    """

    def __init__(
        self, settings: ServiceSettings, product: str, network: Backbone, region: Region, tiles: tuple[int, int]
    ) -> None:
        self._shape = (tiles[0] * tiles[1] * network.patches, network.channels)
        cut = f"{FORMAT} {network.identity.sha256} {region.model_dump_json()} {tiles}"
        product_folder = settings.inspection_folder / "features" / bank_generations(settings, product).folder.name
        self._folder = product_folder / hashlib.sha256(cut.encode()).hexdigest()[:16]
        self.trouble = ""
        """Why features are not kept; empty: they are."""
        self._held: dict[str, PictureFeatures] = {}

    def get(self, sha256: str) -> PictureFeatures | None:
        """The features of a picture whose file has that hash; None when they are missing or damaged. Thread-safe."""
        if sha256 in self._held:
            return self._held[sha256]
        try:
            content = (self._folder / sha256).read_bytes()
        except OSError:
            return None
        values = content[_DIGEST_BYTES:]
        if hashlib.sha256(values).digest() != content[:_DIGEST_BYTES]:
            return None
        try:
            features = np.load(io.BytesIO(values), allow_pickle=False)
        except ValueError:
            return None
        return features if features.shape == self._shape and features.dtype == np.float16 else None

    def load(self, sha256: str) -> PictureFeatures:
        """The features of a picture that were kept in this run. Raises TransientError when they are lost since."""
        features = self.get(sha256)
        if features is None:
            why = "they were written in this run, and are missing or damaged now"
            raise TransientError(f"The features in {self._folder / sha256}", why, "start the job again")
        return features

    def put(self, sha256: str, features: PictureFeatures) -> None:
        """Keep the features of a picture. Raises XaivaError when neither the disk nor memory has room for them."""
        if not self.trouble:
            self._write(sha256, features)
        if self.trouble:
            self._hold(sha256, features)

    def _hold(self, sha256: str, features: PictureFeatures) -> None:
        room = MAX_HELD // (self._shape[0] * self._shape[1])
        if sha256 not in self._held and len(self._held) >= room:
            why = f"the disk does not take them ({self.trouble}), and memory has room for those of {room} pictures"
            raise XaivaError(f"The features in {self._folder}", why, "make room on the disk")
        self._held[sha256] = features

    def _write(self, sha256: str, features: PictureFeatures) -> None:
        file = io.BytesIO()
        np.save(file, features, allow_pickle=False)
        values = file.getvalue()
        target = self._folder / sha256
        beside = self._folder / f"{TEMPORARY_PREFIX}{sha256}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(hashlib.sha256(values).digest() + values)
            beside.replace(target)  # not fsynced: after a power cut, the digest tells
        except OSError as error:
            self.trouble = os_reason(error)
            logger.warning("%s: features are not kept for the next run: %s", self._folder, self.trouble)
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def keep_only(self, used: Collection[str]) -> None:
        """Remove the features of all other pictures, and those of other cuts and networks."""
        with suppress(OSError):
            for path in list(self._folder.parent.iterdir()):
                if path != self._folder:
                    shutil.rmtree(path, ignore_errors=True)
            for path in list(self._folder.iterdir()):
                if path.name not in used:
                    path.unlink(missing_ok=True)

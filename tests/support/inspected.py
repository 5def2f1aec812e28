"""A product that can be inspected: pictures in the storage, a memory bank and both indexes made of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from core.api_schema import Region
from core.inference.inspection.encoder import ImageEncoder, find_encoder
from core.inference.inspection.index_files import IndexEntry, index_facts, index_generations, write_index
from core.inference.inspection.listed_pictures import ListedPictures, note_listed
from core.inference.models.bank_files import bank_generations, publish_bank
from core.inference.models.features import AveragedFeatures
from core.inference.models.fit_product_bank import ProductPictures, fit_product_bank
from core.inference.models.product_bank import picture_features
from core.inference.settings import ServiceSettings
from core.inference.storage import open_storage
from core.inference.storage.model import ObjectInfo
from tests.support.parts import Rgb, plates

SIZE = (384, 224)
NORMALS = 12


def encoded(picture: Rgb, kind: str = "JPEG") -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()


def good(seed: int = 99) -> bytes:
    """A good plate that no bank has seen."""
    return encoded(plates(1, seed, size=SIZE)[0])


def scratched(seed: int = 99) -> bytes:
    """A plate with a scratch."""
    return encoded(plates(1, seed, size=SIZE, defect="scratch")[0])


def fill_storage(folder: Path, product: str) -> None:
    """Normal pictures, and defects of two types."""
    for place, pictures in (
        (f"normal/{product}", plates(NORMALS, 1, size=SIZE)),
        (f"defect/{product}/scratch", plates(3, 2, size=SIZE, defect="scratch")),
        (f"defect/{product}/hole", plates(3, 3, size=SIZE, defect="hole")),
    ):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            (folder / place / f"{number}.jpg").write_bytes(encoded(picture))


def build_bank(
    settings: ServiceSettings, product: str, region: Region | None = None, tiles: tuple[int, int] = (1, 1)
) -> None:
    """Publish a memory bank of the product's normal pictures in the storage."""
    network, region = AveragedFeatures(), region or Region()
    network.load()

    def features(place: str) -> list[tuple[str, np.ndarray]]:
        files = sorted((settings.data / "images").glob(f"{place}/*.jpg"))
        read = [(file.parent.name, np.asarray(Image.open(file))) for file in files]
        return [(name, picture_features(picture, network, region, tiles)) for name, picture in read]

    normal = [one for _, one in features(f"normal/{product}")]
    pictures = ProductPictures(product, normal, features(f"defect/{product}/*"), region, tiles)
    publish_bank(settings, fit_product_bank(pictures, network))
    network.close()


def build_indexes(settings: ServiceSettings) -> None:
    """Publish both indexes of all pictures in the storage."""
    encoder = ImageEncoder(find_encoder(settings))
    encoder.load()
    images = settings.data / "images"
    for subject, levels in (("normal", 0), ("defect", 1)):
        entries, vectors = [], []
        for file in sorted((images / subject).rglob("*.jpg")):
            parts = file.relative_to(images / subject).parts
            key, label = file.relative_to(images).as_posix(), parts[1] if levels else "normal"
            entries.append(IndexEntry(key=key, label=label, product=parts[0], etag="", sha256=""))
            vectors.append(encoder.embed([np.asarray(Image.open(file))])[0])
        generations = index_generations(settings, subject)
        with generations.write() as folder:
            write_index(folder, entries, np.stack(vectors))
            generations.publish(folder, index_facts(encoder.identity, len(entries), 1.0))
    encoder.close()


def note_listings(settings: ServiceSettings, product: str) -> None:
    """Note that the bank and both indexes have the pictures that the storage lists now, as a rebuild does."""
    for generations, prefix in (
        (bank_generations(settings, product), f"normal/{product}/"),
        (index_generations(settings, "normal"), "normal/"),
        (index_generations(settings, "defect"), "defect/"),
    ):
        listed = ListedPictures()
        for found in open_storage(settings).list_objects(prefix):
            assert isinstance(found, ObjectInfo)
            listed.add(found)
        note_listed(generations, generations.open().manifest.number, listed)

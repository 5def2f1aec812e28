"""Where pictures lie in the object storage: `normal/<product>/…` and `defect/<product>/<defect type>/…`."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError
from typing_extensions import Self

from core.api_schema.products import ProductName
from core.inference.settings import ServiceSettings

NORMAL, DEFECT = "normal", "defect"  # subjects of indexes; NORMAL is also the label of every normal picture

_PRODUCT: TypeAdapter[str] = TypeAdapter(ProductName)
_LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class PictureKey:
    """What a picture's key says about it. `label` is NORMAL, or the type of the defect."""

    product: str
    label: str
    key: str


@dataclass(frozen=True)
class Layout:
    """The folders of normal and of defect pictures."""

    normal: str = NORMAL
    defect: str = DEFECT

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """The folders that the settings name."""
        return cls(settings.normal_prefix, settings.defect_prefix)

    def prefix(self, subject: str) -> str:
        """The folder of all NORMAL or all DEFECT pictures, with `/` at its end."""
        return f"{self.normal if subject == NORMAL else self.defect}/"

    def normal_prefix(self, product: str) -> str:
        """The folder of the product's normal pictures, with `/` at its end."""
        return f"{self.normal}/{product}/"

    def defect_prefix(self, product: str, defect_type: str) -> str:
        """The folder of the product's defects of one type, with `/` at its end."""
        return f"{self.defect}/{product}/{defect_type}/"

    def parse_key(self, key: str) -> PictureKey | None:
        """Product and label of a key; None for one outside of the layout, or in a folder that can be no product."""
        for folder, levels in ((self.normal, 1), (self.defect, 2)):
            parts = key.removeprefix(f"{folder}/").split("/")
            if key.startswith(f"{folder}/") and len(parts) > levels and all(parts):
                product, label = product_name(parts[0]), NORMAL if levels == 1 else _composed(parts[1])
                return PictureKey(product, label, key) if product and label else None
        return None


@lru_cache(10_000)
def product_name(folder: str) -> str:
    """The product whose pictures lie in a folder of this name; empty if no product can have that name.

    Hangul from macOS is decomposed, and a blank at an end cannot be seen: neither makes another product.
    """
    try:
        return _PRODUCT.validate_python(folder)
    except ValidationError:
        return ""


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def is_ignored(key: str) -> bool:
    """Whether it is a folder, a hidden file, or what a desktop leaves in folders: no picture, and nothing wrong."""
    name = key.rpartition("/")[2]
    return not name or any(part.startswith(".") for part in key.split("/")) or name.lower() in _LEFT_BY_SYSTEMS

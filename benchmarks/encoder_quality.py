"""How well the encoder that we ship finds the like of a picture, beside the mean of its patches alone.

    python -m benchmarks.encoder_quality

The pictures are crops of three textures of scikit-image: with the faint defects of `benchmarks.bank_quality`, and with
sharp ones, a bright scratch, a dark hole, a brown stain. Each is looked up among all the others: is the nearest normal
picture of the same texture, is the nearest defect one of the same kind, and how well does the similarity to the nearest
normal one tell defects from normal pictures (AUROC)?
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.bank_quality import Grey, fetch_textures, inspected_pictures
from core.inference.inspection.encoder import ImageEncoder, Vectors, find_encoder
from core.inference.models.auroc import auroc
from core.inference.models.detector import Picture
from core.inference.settings import ServiceSettings

SEED = 0
NORMALS, DEFECTS = 40, 12  # sharp ones: of each texture, and of each kind
KINDS = ("scratch", "hole", "stain")

Sample = tuple[Picture, str, str]  # texture, kind of defect


def main() -> int:
    """Print a table; 1 when the means alone find the kind of a defect more often."""
    with tempfile.TemporaryDirectory() as folder:
        textures = fetch_textures(Path(folder))
        encoder = ImageEncoder(find_encoder(ServiceSettings(data=Path(folder), onnx_provider="cpu")))
    encoder.load()
    print("defects  vector                   texture  kind  AUROC")
    missed = 0
    for title, samples in (("faint", _faint(textures)), ("sharp", _sharp(textures))):
        whole = encoder.embed([picture for picture, _, _ in samples])
        means = whole[:, : whole.shape[1] // 3]
        means = means / np.linalg.norm(means, axis=1, keepdims=True)
        names, kinds = np.array([name for _, name, _ in samples]), np.array([kind for _, _, kind in samples])
        figures = {"mean, largest, smallest": _measure(whole, names, kinds), "mean": _measure(means, names, kinds)}
        for vector, (texture, kind, area) in figures.items():
            print(f"{title:7}  {vector:23}  {texture:.2f}     {kind:.2f}  {area:.2f}")
        missed += figures["mean, largest, smallest"][1] < figures["mean"][1]
    return int(missed > 0)


def _faint(textures: dict[str, Grey]) -> list[Sample]:
    random = np.random.default_rng(SEED)
    samples: list[Sample] = []
    for name, texture in textures.items():
        others = [other for other in textures.values() if other is not texture]
        samples += [(one.pixels, name, one.kind) for one in inspected_pictures(texture, others, "middle", random)]
    return samples


def _sharp(textures: dict[str, Grey]) -> list[Sample]:
    random = np.random.default_rng(SEED)
    samples: list[Sample] = []
    for name, texture in textures.items():
        for kind in [""] * NORMALS + list(KINDS) * DEFECTS:
            left, top = random.integers(0, 256), random.integers(0, 320)
            crop = texture[top : top + 192, left : left + 256] * random.uniform(0.85, 1.15)
            image = Image.fromarray(crop.clip(0, 255).astype(np.uint8)).convert("RGB").resize((640, 480))
            samples.append((np.asarray(_spoil(image, kind, random)), name, kind))
    return samples


def _spoil(image: Image.Image, kind: str, random: np.random.Generator) -> Image.Image:
    x, y = random.integers(80, 560), random.integers(80, 400)
    draw = ImageDraw.Draw(image)
    if kind == "scratch":
        angle, length = random.uniform(0, 2 * np.pi), random.uniform(60, 160)
        end = x + length * np.cos(angle), y + length * np.sin(angle)
        draw.line([(x, y), end], fill=(230, 230, 230), width=4)
    elif kind == "hole":
        radius = random.uniform(12, 30)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(15, 15, 15))
    elif kind == "stain":
        radius = random.uniform(30, 60)
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).ellipse([x - radius, y - radius * 0.7, x + radius, y + radius * 0.7], fill=150)
        image.paste((120, 70, 20), mask=mask.filter(ImageFilter.GaussianBlur(8)))
    return image


def _measure(vectors: Vectors, names: NDArray[np.str_], kinds: NDArray[np.str_]) -> tuple[float, float, float]:
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    normal = kinds == ""
    nearest_normal = np.flatnonzero(normal)[similarities[:, normal].argmax(axis=1)]
    nearest_defect = np.flatnonzero(~normal)[similarities[:, ~normal].argmax(axis=1)]
    areas = []
    for name in np.unique(names):
        own = names == name
        distances = -similarities[np.ix_(own, own & normal)].max(axis=1)
        areas.append(auroc(distances[normal[own]], distances[~normal[own]]))
    texture_share = (names[nearest_normal] == names)[normal].mean()
    kind_share = (kinds[nearest_defect] == kinds)[~normal].mean()
    return float(texture_share), float(kind_share), float(np.mean(areas))


if __name__ == "__main__":
    raise SystemExit(main())

"""Product memory banks on disk: each product has a folder of generations, which are read and published here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from core.errors import XaivaError
from core.inference.generation_reader import GenerationReader
from core.inference.generations import BrokenGeneration, GenerationFolder, Generations
from core.inference.models.memory_bank import decode_bank, encode_bank
from core.inference.models.product_bank import BankFacts, ProductBank
from core.inference.settings import ServiceSettings

BANK_FILE = "bank.npz"
_MAX_NAME = 150  # characters of a folder's name


def bank_generations(settings: ServiceSettings, product: str) -> Generations:
    """The generations of a product's memory bank."""
    return Generations(settings.inspection_folder / "banks" / _folder_name(product))


def bank_reader(settings: ServiceSettings, product: str) -> GenerationReader[ProductBank]:
    """Reads the product's current memory bank, or the last good one."""
    return GenerationReader(bank_generations(settings, product), read_bank)


def products_with_banks(settings: ServiceSettings) -> list[str]:
    """The products that have a memory bank, also one that cannot be read as long as its manifest can."""
    names = []
    for folder in _folders(settings.inspection_folder / "banks"):
        generations = Generations(folder)
        for name in (generations.token(), *generations.names()):
            try:
                names.append(read_facts(generations.open(name)).product)
                break
            except XaivaError:
                continue
    return sorted(names)


def publish_bank(settings: ServiceSettings, bank: ProductBank) -> GenerationFolder:
    """Make the bank the current one of its product. Raises XaivaError when the disk does not take it."""
    generations = bank_generations(settings, bank.facts.product)
    with generations.write() as folder:
        (folder / BANK_FILE).write_bytes(encode_bank(bank.bank))
        return generations.publish(folder, bank.facts.model_dump(mode="json"))


def read_bank(generation: GenerationFolder) -> ProductBank:
    """The bank of a generation, of any network. Raises BrokenGeneration."""
    facts = read_facts(generation)
    remedy = "rebuild the memory bank"
    raw = (generation.path / BANK_FILE).read_bytes()
    try:
        bank = decode_bank(raw)
    except Exception as error:  # readers of damaged zip files raise anything
        raise BrokenGeneration(f"{generation.path}", f"{BANK_FILE} is damaged", remedy) from error
    if bank is None:
        raise BrokenGeneration(f"{generation.path}", f"{BANK_FILE} is of another version", remedy)
    return ProductBank(bank, facts)


def read_facts(generation: GenerationFolder) -> BankFacts:
    """What a generation says about its bank. Raises BrokenGeneration."""
    try:
        return BankFacts.model_validate(generation.manifest.facts)
    except ValidationError as error:
        raise BrokenGeneration(f"{generation.path}", "its manifest is not one of a memory bank") from error


def _folder_name(product: str) -> str:
    """The name of a product's folder: any product has one, and no two have the same."""
    name = quote(product, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[:_MAX_NAME]}~{hashlib.sha256(product.encode()).hexdigest()[:16]}"


def _folders(parent: Path) -> Sequence[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir())
    except OSError:
        return []

"""Finds GPUs by the names that nvidia-smi prints and people write; a name that is not in the table is unknown.

A name may leave the memory open: a model sold with 8 or 12 GiB has both. A similar name is never taken for another.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from packaging.version import Version

from core.presets.compat.facts import Facts
from core.presets.compat.gpu_lines import read_line
from core.presets.compat.rows import GpuRow

_ARCHITECTURE = re.compile(
    r"(?:(?:sm|cc|compute([ _]cap(ability)?)?)[-_ ]?(?P<major>\d{1,2})\.?(?P<minor>\d)[af]?|(?P<number>\d{1,2}\.\d))",
    re.IGNORECASE,
)
_CUT_OFF = re.compile(r"(\.\.\.|…)$")  # nvidia-smi's table shortens names
# `NVIDIA A100-SXM4-40GB MIG 3g.20gb`; `1c.3g.20gb` is a part of its compute, `1g.10gb+me` has media engines.
_MIG = re.compile(r"(?:\b|_)(?:MIG[\s_-])?(?:\dc\.)?\dg\.(?P<gib>\d+)gb\b", re.IGNORECASE)
# `GRID V100D-8C`; `A100-1-5CME` and `DC-2-24Q` are profiles inside a MIG slice.
_VGPU = re.compile(r"(?P<gpu>.+?)-(?:\d-)?(?P<gib>\d+)(?P<series>[ABCQ]?)(?:4|ME)?", re.IGNORECASE)
_VGPU_BRANDS = {"A": "vapps", "B": "vpc", "C": "vcs", "Q": "vws"}  # as NVML calls them
_SMALLEST_VGPU = 0.5  # GiB, of the profiles that are called 0
_PROFILE_TOLERANCE = 1.05  # the largest profile of a GPU may be named a little above its nominal memory
_MEMORY = re.compile(r"\b(\d+) ?gi?b?\b", re.IGNORECASE)
_BOARD = re.compile(
    r"\b(pcie?|sxm\d?|nvl\d+|hbm\w*|gddr\w*|fhhl|dgxs|active|passive|lc|ls|h|mega"
    r"|lhr|lite hash rate|refresh|rev\.? \w)\b",
    re.IGNORECASE,
)
# Words that people omit.
_FILLER_WORDS = (
    *("nvidia", "corporation", "geforce", "tesla", "grid", "gpu", "graphics", "card", "with", "design", "edition"),
    *("generation", "gen", "lovelace", "founders", "engineering", "reference", "developer", "kit", "nvgpu", "shared"),
    *("dgx", "hgx"),
)
# How chips begin, and the major architectures that they have.
_CHIPS = {"GK": "3", "GM": "5", "GP": "6", "GV": "7", "TU": "7", "GA": "8", "AD": "8", "GH": "9", "GB": "10 11 12"}
# Architectures and names of GPUs in one chip or module with an Arm processor.
_ONLY_ON_ARM = frozenset(("5.3", "6.2", "7.2", "8.7", "10.1", "11.0", "12.1"))
_ARM_NAMES = re.compile(
    r"\b(jetson|tegra|orin|xavier|thor|igx|agx|gh200|gb10|gb[23]00|grace|t4g|dgx spark)\b", re.IGNORECASE
)
_OTHER_MAKERS = re.compile(r"\b(amd|radeon|instinct|intel|arc|apple|adreno|mali|ascend|gfx\d+)\b", re.IGNORECASE)
_MIN_SIMILARITY = 0.6  # between a word and its misspelling
_GIVE_BY_HAND = (
    'give its architecture and memory instead: "gpu": "sm_86", "vram_gib": 8 in `target`, or --gpu sm_86;'
    " on its machine, `nvidia-smi --query-gpu=compute_cap,memory.total --format=csv` shows both"
)


@dataclass(frozen=True)
class GpuModel:
    """One GPU. `sm` is its compute capability, `8.6`. An empty `sm`, and None elsewhere, means unknown.

    If the name leaves the memory open, or has a size that the tables lack, `vram_choices` has all sizes in the tables,
    and `vram_gib` is the smallest.
    """

    name: str
    sm: str = ""
    vram_gib: float | None = None
    brand: str = ""
    nvenc: bool | None = None
    note: str = ""
    aarch64: bool = False
    vram_choices: tuple[float, ...] = ()

    def __str__(self) -> str:
        """The name with the architecture, unless the name is the architecture."""
        sm = _sm_name(self.sm)
        return self.name if not self.sm or self.name == sm else f"{self.name} ({sm})"


def find_gpu(name: str, facts: Facts) -> GpuModel:
    """The GPU with that name or architecture (`sm_86`). An unknown name gives a GpuModel without `sm`.

    Pasted lines of nvidia-smi or lspci are parsed; what the driver printed beside the name wins over the table.
    """
    line = read_line(name)
    gpu = _find_by_name(line.name, facts)
    if line.chip and gpu.sm and gpu.sm.partition(".")[0] not in _CHIPS.get(line.chip[:2], "").split():
        return GpuModel(f"{line.chip} [{line.name}]")  # an older or newer GPU of the same name
    if line.sm and line.sm != gpu.sm:
        gpu = GpuModel(line.name or _sm_name(line.sm), line.sm, aarch64=gpu.aarch64 or line.sm in _ONLY_ON_ARM)
    if line.vram_gib and gpu.sm:
        gpu = replace(gpu, vram_gib=line.vram_gib, vram_choices=())
    return gpu


def _find_by_name(name: str, facts: Facts) -> GpuModel:
    if match := _ARCHITECTURE.fullmatch(name):
        sm = match["number"] or f"{match['major']}.{match['minor']}"
        known_architectures = _architectures(facts)
        # An architecture newer than the tables is accepted, but not a bare number, which may be a CUDA version.
        plausible = sm in known_architectures or (
            not match["number"] and Version(sm) > Version(known_architectures[-1])
        )
        return GpuModel(name, sm if plausible else "", aarch64=sm in _ONLY_ON_ARM)
    if _CUT_OFF.search(name):
        return GpuModel(name)
    if match := _MIG.search(name):
        return _slice(name, _find_by_name(name[: match.start()].strip(), facts), float(match["gib"]))
    if match := _VGPU.fullmatch(name):
        rows = [row for row in facts.gpus.values() if _lookup_key(match["gpu"]) in map(_lookup_key, row.vgpu)]
        if rows:
            brand = _VGPU_BRANDS.get(match["series"].upper(), "")
            return _slice(name, _gpu(name, rows), float(match["gib"]) or _SMALLEST_VGPU, brand)
    rows, memory = _rows_of(name, facts)
    if len({row.sm for row in rows}) == 1:
        return _gpu(name, rows, memory)
    return GpuModel(name, aarch64=bool(_ARM_NAMES.search(name)))


def explain_unknown(gpu: GpuModel, facts: Facts) -> tuple[str, str, str]:
    """What, why and remedy for a GPU with unknown architecture."""
    if gpu.note:
        return f"{gpu.name}: its architecture is not known", gpu.note, f"see `xaiva gpu`; or {_GIVE_BY_HAND}"
    if _ARCHITECTURE.fullmatch(gpu.name):
        why = f"the tables have {', '.join(map(_sm_name, _architectures(facts)))}"
        return f"{gpu.name} is not a known architecture", why, f"correct it, or {_GIVE_BY_HAND}"
    if _OTHER_MAKERS.search(gpu.name):
        why = "GPU wheels need CUDA"
        return f"{gpu.name} is not an NVIDIA GPU", why, "name an NVIDIA GPU, or use CPU builds"
    if _CUT_OFF.search(gpu.name):
        why = "nvidia-smi shortens long names in its table"
        return f"{gpu.name} is cut off", why, f"write it as `nvidia-smi -L` shows it; or {_GIVE_BY_HAND}"
    if (match := _MIG.search(gpu.name)) and match.start() == 0:
        why = "several GPUs have such a slice"
        return (
            f"{gpu.name} does not name a GPU",
            why,
            f'write the name of the GPU before it, as in "A100 {match[0]}"; or {_GIVE_BY_HAND}',
        )
    rows, _ = _rows_of(gpu.name, facts)
    if rows:
        candidates = ", ".join(f"{row.key} ({_sm_name(row.sm)})" for row in rows)
        return (
            f"{gpu.name} is the name of several GPUs",
            candidates,
            f"write which of them you mean; or {_GIVE_BY_HAND}",
        )
    suggestions = _misspelt(gpu.name, facts)
    offer = f"did you mean {' or '.join(suggestions)}? Or " if suggestions else ""
    return f"{gpu.name} is not in the tables", "its architecture is not known", offer + _GIVE_BY_HAND


def explain_platform(gpu: GpuModel) -> tuple[str, str, str]:
    """What, why and remedy for a GPU in a machine with an Arm processor."""
    why = gpu.note or "it belongs to a machine with an Arm processor (aarch64); presets are locked for x86_64"
    remedy = "build on the device, from an image for its processor (JetPack on a Jetson)"
    return f"{gpu.name} does not belong to an x86_64 machine", why, remedy


def _architectures(facts: Facts) -> list[str]:
    return sorted({row.sm for row in facts.gpus.values()}, key=Version)


def _sm_name(sm: str) -> str:
    return f"sm_{sm.replace('.', '')}"


def _gpu(name: str, rows: list[GpuRow], memory: float | None = None) -> GpuModel:
    row = rows[0]
    choices = tuple(sorted({gib for row in rows for gib in row.vram_gib}))
    other = memory is not None and memory not in choices
    if memory is not None and not other:
        choices = (memory,)
    return GpuModel(
        name=row.key if len(rows) == 1 else name,
        sm=row.sm,
        vram_gib=choices[0],
        brand=row.brand,
        nvenc=row.nvenc if len({row.nvenc for row in rows}) == 1 else None,
        note=row.note or (f"the tables have none with {memory:g} GiB" if other else ""),
        aarch64=row.aarch64 or row.sm in _ONLY_ON_ARM,
        vram_choices=choices if len(choices) > 1 or other else (),
    )


def _slice(name: str, gpu: GpuModel, gib: float, brand: str = "") -> GpuModel:
    """A MIG slice or vGPU: the architecture of the whole GPU, with the memory in the profile's name."""
    if not gpu.sm or (gpu.vram_gib and gib > max(gpu.vram_choices, default=gpu.vram_gib) * _PROFILE_TOLERANCE):
        return GpuModel(name, aarch64=gpu.aarch64)
    note = gpu.note if gpu.aarch64 else ""
    return replace(gpu, name=name, vram_gib=gib, vram_choices=(), brand=brand or gpu.brand, note=note)


def _rows_of(name: str, facts: Facts) -> tuple[list[GpuRow], float | None]:
    """The rows that a name may mean, and the memory size in it.

    lspci writes two names as one: `GeForce RTX 3060 Mobile / Max-Q`, `Quadro RTX 6000/8000`; the second lacks its
    beginning.
    """
    first, *others = (part.strip() for part in name.replace("_", " ").split("/"))
    rows, memory = _rows_of_part(first, facts)
    for other in others:
        if _MEMORY.fullmatch(other):  # `8GB/16GB`
            memory = None
            continue
        other_rows, its_memory = _rows_of_part(f"{first.rpartition(' ')[0]} {other}", facts)
        if not other_rows:
            other_rows, its_memory = _rows_of_part(other, facts)
        if not rows or not other_rows:
            return [], None
        rows = [*rows, *(row for row in other_rows if row not in rows)]
        memory = memory if its_memory == memory else None
    return rows, memory


def _rows_of_part(name: str, facts: Facts) -> tuple[list[GpuRow], float | None]:
    """Full names win over short forms; the form factor (PCIe, SXM) is ignored, because it changes no architecture."""
    printed, short = _index(facts.gpus.values())
    memory = _MEMORY.search(name)
    without = _MEMORY.sub(" ", name)
    for spelling in (name, without, _BOARD.sub(" ", without.replace("-", " "))):
        key = _lookup_key(spelling)
        if rows := printed.get(key) or short.get(key):
            return rows, float(memory[1]) if memory and spelling is not name else None
    return [], None


def _index(rows: Iterable[GpuRow]) -> tuple[dict[str, list[GpuRow]], dict[str, list[GpuRow]]]:
    """The rows by full name, and by short form."""
    printed: dict[str, list[GpuRow]] = {}
    short: dict[str, list[GpuRow]] = {}
    for row in rows:
        full_names, shorter = _spellings((row.key, *row.aliases), row.brand)
        for key in full_names:
            printed.setdefault(key, []).append(row)
        for key in shorter:
            short.setdefault(key, []).append(row)
    return printed, short


@lru_cache(maxsize=1024)
def _spellings(names: tuple[str, ...], brand: str) -> tuple[frozenset[str], frozenset[str]]:
    """Lookup keys of a row's names, and of their short forms."""
    shorter = frozenset(_lookup_key(form) for name in names for form in _short_forms(name, brand))
    return frozenset(map(_lookup_key, names)), shorter


def _short_forms(name: str, brand: str) -> Iterator[str]:
    """How people shorten a name: `P2000` for Quadro P2000, `1060` for GTX 1060, `RTX 6000` for RTX 6000 Ada."""
    for form in {name, *(name.replace(word, "") for word in ("Quadro ", " Ada", " Blackwell", " (Pascal)", "Jetson "))}:
        yield form
        family, _, rest = form.partition(" ")
        if family in ("GT", "GTX", "RTX") and (brand.startswith("geforce") or re.match(r"[A-Z]|\d+ Ada", rest)):
            yield rest
        if form.startswith("RTX A") or re.match(r"T\d+\b", form):
            yield f"Quadro {form}"
        if form.startswith("RTX PRO "):  # `RTX 6000 Pro Blackwell`, `RTX 6000 Blackwell`
            yield re.sub(r"^RTX PRO (\w+)", r"RTX \1 PRO", form)
            if "Blackwell" in form:
                yield form.replace("PRO ", "")
    if brand.startswith("geforce"):  # `2080S`, `RTX 3060M`
        for long, letter in ((" SUPER", "S"), (" Laptop", "M")):
            if long in name:
                yield name.replace(long, letter)
                yield name.partition(" ")[2].replace(long, letter)


def _misspelt(name: str, facts: Facts) -> list[str]:
    """Names that differ in one misspelt word and have the same numbers; empty if their architectures differ."""
    numbers, words = _words(_MEMORY.sub(" ", name))
    words = [word for word in words if not difflib.get_close_matches(word, _FILLER_WORDS, cutoff=0.8)]
    rows = [row for row in facts.gpus.values() if numbers and _one_word_misspelt((numbers, words), _words(row.key))]
    return [row.key for row in rows] if len({row.sm for row in rows}) == 1 else []


def _one_word_misspelt(name: tuple[list[str], list[str]], right: tuple[list[str], list[str]]) -> bool:
    if name[0] != right[0] or len(name[1]) != len(right[1]):
        return False
    differing = [pair for pair in zip(name[1], right[1], strict=True) if pair[0] != pair[1]]
    return len(differing) <= 1 and all(
        difflib.SequenceMatcher(None, *pair).ratio() >= _MIN_SIMILARITY for pair in differing
    )


def _words(name: str) -> tuple[list[str], list[str]]:
    """The words of a name with digits, and those without."""
    apart = re.sub(r"([a-z]{2,})(\d{3,})", r"\1 \2", _normalize(name))
    words = [word for word in re.findall(r"[a-z0-9]+", apart) if word not in _FILLER_WORDS]
    numbers = [word.replace("o", "0") for word in words if re.search(r"\d", word)]
    return numbers, [word for word in words if not re.search(r"\d", word)]


def _lookup_key(name: str) -> str:
    """A name without what people omit or write differently: case, blanks, the maker, `GPU`."""
    return "".join(word for word in re.findall(r"[a-z0-9]+", _normalize(name)) if word not in _FILLER_WORDS)


def _normalize(name: str) -> str:
    lower = re.sub(r"\((r|tm)\)|[®™]", "", name.lower())
    return re.sub(r"\b(mobile|notebook)\b", "laptop", re.sub(r"\bmax-?\s?q\b", "maxq", lower).replace("_", " "))

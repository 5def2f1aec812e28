"""Parses pasted lines in which other programs name a GPU: nvidia-smi, lspci, glxinfo, /proc."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MIB_PER_GIB = 1024
# Around a name: `GPU 0: … (UUID: GPU-…)`, `MIG 1g.5gb Device 0: (UUID: …)`, `Product Name : …`, `2x …`, `…/PCIe/SSE2`.
_DECORATION = re.compile(
    r"\(UUID:[^)]*\)?|\bDevice +\d+:|/(PCIe/)?SSE2$|\(rev \w+\)"
    r"|^(GPU( \d+)?|Product Name|Model( name)?) *: +|^\d+ ?[x×] +|(?<=\d)[ (]+[x×] ?\d{1,2}\)?$",
    re.IGNORECASE,
)
# `NVIDIA Corporation AD102 [GeForce RTX 4090] (rev a1)`: chip and name.
_LSPCI = re.compile(r"\b(?P<chip>[A-Z]{2}\d\w{1,5})(?: / [\w-]+)? \[(?P<name>[^\]]+)\]", re.IGNORECASE)
# `|   0  NVIDIA GeForce RTX 4090        Off |   00000000:01:00.0 Off | …`: a row of nvidia-smi's table.
_TABLE = re.compile(r"\| +\d+ +(?P<name>\S.*?) +(?:On|Off|N/A|WDDM|TCC|MCDM) *\|.*")
_MIB = re.compile(r"[,( ]{0,3}\b(?P<mib>\d{4,7}) ?Mi?B\b\)?", re.IGNORECASE)
_CAPABILITY = re.compile(r"\d{1,2}\.\d")
# Index, UUID and driver, which are not names.
_NOT_A_NAME = re.compile(r"|\d{1,2}|GPU-[\w-]+|\d{3}\.\d+(\.\d+)?|\[?(N/A|Not Supported)\]?", re.IGNORECASE)


@dataclass(frozen=True)
class GpuLine:
    """A GPU's name, and the chip (lspci) or the compute capability and memory (driver) that the line has."""

    name: str
    chip: str = ""
    sm: str = ""
    vram_gib: float | None = None


def read_line(text: str) -> GpuLine:
    """Parse a pasted line. Any other text is returned as a name."""
    line = " ".join(text.split())
    if match := _LSPCI.search(line):
        return GpuLine(match["name"], match["chip"].upper())
    if match := _TABLE.fullmatch(line):
        line = match["name"]
    line = _DECORATION.sub(" ", line).strip()
    memory = _MIB.search(line)
    # `NVIDIA GeForce RTX 4090, 8.9, 24564 MiB`: what `nvidia-smi --query-gpu` prints.
    fields = [field.strip() for field in _MIB.sub("", line, count=1).split(",")]
    capability = [field for field in fields if _CAPABILITY.fullmatch(field)]
    names = [field for field in fields if field not in capability and not _NOT_A_NAME.fullmatch(field)]
    if len(names) > 1 or len(capability) > 1 or not (names or (capability and memory)):
        return GpuLine(line)
    gib = round(int(memory["mib"]) / _MIB_PER_GIB, 1) if memory else None
    return GpuLine(" ".join(" ".join(names).split()), "", "".join(capability), gib)

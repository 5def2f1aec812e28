"""How long a whole shipment takes: packed, checked, unpacked, and packed again with 1 % changed, against `cp` + `sync`.

The medium is exFAT behind FUSE. A pack also signs, reads everything back and opens the medium as a site does, and so it
is compared with `cp` + `sync` + `sha256sum`. Needs root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.artifacts import Row
from benchmarks.carry import forget, seconds, sum_on_all_cores
from core.artifacts.generated_files import generated_files
from core.carry import medium_check, pack, preparation, signing, unpack
from core.files import write_atomic
from core.progress import NullProgress
from core.site import Site
from tests.support.artifacts import locked, random_file, write_lock_of
from tests.support.media import EXFAT, MEBI, medium_of

FILES = 200
FILE_BYTES = 2 * MEBI
NAME = "bench"
# How many times as long as the comparison each may take.
PACK, CHECK, UNPACK, SECOND = 1.25, 1.25, 1.25, 0.6


def main() -> int:
    """Measure, print the table, and return 1 when a budget is missed."""
    preparation.console_files = lambda _site: []  # the console is the same small part of each
    with tempfile.TemporaryDirectory(prefix="xaiva-bench-") as name:
        scratch = Path(name)
        with medium_of(EXFAT, scratch / "stick", 3 * FILES * FILE_BYTES, scratch / "backing") as stick:
            rows = measure(scratch, stick.mount)
    for row in rows:
        print(f"{'pass' if row.passed else 'MISS'}  {row.name:<58} {row.value:>18}  budget {row.budget}")
    return 0 if all(row.passed for row in rows) else 1


def measure(scratch: Path, medium: Path) -> list[Row]:
    """One after the other on one medium."""
    office, there = new_site(scratch / "office"), new_site(scratch / "there")
    write_preset(office, 0)
    fingerprint = signing.create_key(office).fingerprint
    wheels = office.artifacts / NAME / "layers/common/wheels"

    copied = seconds(lambda: copy_and_sync(wheels, medium / "copy"))
    forget(medium)
    summed = seconds(lambda: sum_on_all_cores(medium / "copy"))
    forget(medium)
    taken = seconds(lambda: copy_and_sync(medium / "copy", scratch / "taken"))
    shutil.rmtree(medium / "copy")
    os.sync()

    options = {"presets": [NAME]}
    packed = seconds(lambda: pack.run(office, str(medium), options, NullProgress()))
    forget(medium)
    checked = seconds(lambda: medium_check.run(office, str(medium), {}, NullProgress()))
    forget(medium)
    unpacked = seconds(lambda: unpack.run(there, str(medium), {"trust": fingerprint}, NullProgress()))
    write_preset(office, FILES // 100)
    second = seconds(lambda: pack.run(office, str(medium), options, NullProgress()))
    return [
        row("pack, over cp + sync + sha256sum", packed, copied + summed, PACK),
        row("check, over sha256sum on all cores", checked, summed, CHECK),
        row("unpack, over cp + sync", unpacked, taken, UNPACK),
        row("second pack with 1 % changed, over the first", second, packed, SECOND),
    ]


def row(name: str, ours: float, theirs: float, budget: float) -> Row:
    """A ratio, at most `budget`."""
    return Row(name, f"{ours / theirs:.2f}x, {ours:.1f} s", f"<= {budget}x", ours / theirs <= budget)


def new_site(root: Path) -> Site:
    """An empty site."""
    for folder in ("presets", "artifacts", "docker"):
        (root / folder).mkdir(parents=True)
    return Site.open(root)


def write_preset(site: Site, changed: int) -> None:
    """A preset with its lock; `changed` of its wheels have other bytes than at 0."""
    folder = site.artifacts / NAME
    wheels = [
        random_file(
            folder / f"layers/common/wheels/w{number}-1.0-py3-none-any.whl",
            FILE_BYTES,
            number + FILES * (number < changed),
        )
        for number in range(FILES)
    ]
    lock = write_lock_of(site, NAME, [locked(path, "file:x") for path in wheels])
    for path, data in generated_files(lock).items():
        write_atomic(folder / path, data)
    preset = {"base_image": "debian:test", "python_version": "3.11", "inference_service": False}
    (site.presets / f"{NAME}.json").write_text(json.dumps(preset))


def copy_and_sync(source: Path, target: Path) -> None:
    """What a person types."""
    subprocess.run(["cp", "-r", source, target], check=True)
    subprocess.run(["sync", "--file-system", target], check=True)

"""Any content of a file gives either problems with a line and a remedy, or a preset that everything can work with."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.presets import store
from core.presets.compat import check, named_target
from core.presets.compat.facts import load_facts
from core.presets.layers import expand_preset
from core.presets.serialization import dump
from core.presets.validation import preset_from_text, validate_text

from .conftest import CHECKOUT

FULL: dict[str, Any] = {
    **json.loads((CHECKOUT / "presets" / "dubbing-cuda13.0.json").read_text()),
    "tensorrt": {"enabled": True, "version": "10.9.0"},
    "build_options": {
        "ffmpeg_version": "7.1",
        "ffmpeg_configure": ["--enable-nvenc"],
        "nv_codec_headers_version": "12.1.14.0",
        "opencv_version": "4.13.0",
        "opencv_cmake": ["-DWITH_CUDA=ON"],
        "xaiva_media_branch": "master",
    },
    "indexes": [{"name": "ours", "url": "https://host/simple"}],
    "sources": [{"name": "ffmpeg", "path": "ffmpeg"}],
    "models": [{"name": "m", "file": "m.onnx", "sha256": "0" * 64, "destination": "/models/m.onnx"}],
    "overrides": ["vram"],
}
VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, 1e300, "", "x", "\x00", "é", "2.7.1", "3.9", "..", "/", "a" * 300),
    *([], [1], {}, {"a": 1}, ["numpy"], [None], "8.6", "sm_86", "2.7.1+cu999", "9!1.0", "1.0.dev0", "2.7.1rc1"),
    *("cu", "https://[", "numpy", "numpy; python_version<'3'", "x==*", "x===foo", "10.9.0.34.1", "5:5", "0:0"),
]
TEXTS = ["", '"', "'", "{", "]", ",", "\\", "é"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def spoilt(random_: random.Random) -> str:
    data = json.loads(json.dumps(FULL))
    for _ in range(random_.randint(1, 2)):
        *way, last = random_.choice(list(places(data)))
        part = data
        for key in way:
            part = part[key]
        part[last] = random_.choice(VALUES)
    text = json.dumps(data, indent=random_.choice([None, 1, 4]))
    if random_.random() < 0.2:
        at = random_.randrange(len(text))
        text = text[:at] + random_.choice(TEXTS) + text[at + 1 :]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_spoilt_presets(seed: int, tmp_path: Path) -> None:
    random_ = random.Random(seed)
    usable = 0
    for _ in range(250):
        text = spoilt(random_)
        problems = validate_text(text, tmp_path / "p.json")
        assert all(problem.line > 0 and problem.what and problem.remedy for problem in problems), text
        if problems:
            continue
        usable += 1
        preset = preset_from_text(text, tmp_path / "p.json")
        check(preset, named_target(["GTX 1060"], "535.183"))
        expand_preset(preset, tmp_path, load_facts())
        store.preset_sha256(preset)
        assert dump(preset, text) == text
        edited = preset.model_copy(update={"python_version": "3.12"})
        assert preset_from_text(dump(edited, text), tmp_path / "p.json") == edited
    assert usable > 5

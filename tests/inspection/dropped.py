"""Pictures that are dropped into a folder, and what stands for their inspection."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from core.api_schema import Inspection, Verdict
from core.inference.events.ids import new_id
from core.inference.inspection.drop_folder import DropFolder
from core.inference.inspection.pictures import BadPicture


class Inspections:
    """Stands for the inspection itself, which has tests of its own."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bytes, str, str]] = []
        self.raises: dict[str, Exception] = {}

    def __call__(self, product: str, picture: bytes, part: str, source: str) -> Inspection:
        if product in self.raises:
            raise self.raises[product]
        if picture == b"broken":
            raise BadPicture("The picture", "it is damaged")
        self.done.append((product, picture, part, source))
        now = datetime.now(timezone.utc)
        values = {"product": product, "part": part, "at": now, "score": 0.1, "threshold": 0.5, "bank": 1}
        return Inspection.model_validate({**values, "id": new_id(), "verdict": Verdict.NORMAL})


def put(folder: DropFolder, name: str, content: bytes = b"picture") -> Path:
    path = folder.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def raw(folder: DropFolder, name: bytes, content: bytes = b"picture") -> Path:
    """Put a picture with that name, which need not be UTF-8."""
    return put(folder, os.fsdecode(name), content)


def result(path: Path) -> Any:
    return json.loads(Path(f"{path}.json").read_text())


def look(folder: DropFolder, times: int = 2) -> int:
    """Look several times: a picture is taken when it looks the same as the time before."""
    return sum(folder.run_once() for _ in range(times))

"""A process that publishes one generation after another until it is killed."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

from core.inference.generations import GenerationFolder, Generations

FILES = ("vectors", "entries")


def publish(generations: Generations, text: str) -> GenerationFolder:
    """Publish a generation whose files both hold `text` often."""
    with generations.write() as folder:
        for name in FILES:
            (folder / name).write_text(text * 2000)
        return generations.publish(folder, {"text": text})


def text_of(generation: GenerationFolder) -> str:
    """The text of a generation; fails when its files and its manifest disagree."""
    generation.check()
    texts = {(generation.path / name).read_text() for name in FILES}
    assert texts == {f"{generation.manifest.facts['text']}" * 2000}
    return f"{generation.manifest.facts['text']}"


def write_for_ever(folder: Path, ready: Connection) -> None:
    """The main function of the process. It says on `ready` that it begins."""
    generations = Generations(folder)
    ready.send_bytes(b"ready")
    while True:
        publish(generations, "killed")

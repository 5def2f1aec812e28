"""What a fingerprint is made of. No engine is needed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from core.stacks.context_files import HashCache
from core.stacks.fingerprint import Fingerprint, base_images, take_fingerprint
from core.stacks.model import BuildSection
from core.stacks.observe import _Images

DOCKERFILE = """
ARG FIRST=debian:12 SECOND=python:3.11
FROM ${FIRST} AS build
FROM $SECOND
COPY --from=build /a /
COPY --from=lib /b /
COPY --from=mine /c /
COPY --from=busybox:1 /d /
RUN --mount=type=bind,from=tools:2,target=/tools /tools/run
"""


def build(folder: Path, **fields: Any) -> BuildSection:
    context = folder / "api"
    context.mkdir(parents=True, exist_ok=True)
    (context / "Dockerfile").write_text(DOCKERFILE)
    return BuildSection(context, context / "Dockerfile", **fields)


def test_every_image_from_outside_is_a_base(tmp_path: Path) -> None:
    contexts = {"lib": str(tmp_path / "lib"), "mine": "docker-image://mine:1"}
    found = base_images(build(tmp_path, contexts=contexts, arguments={"SECOND": "python:3.12"}))
    assert found == ["debian:12", "python:3.12", "mine:1", "busybox:1", "tools:2"]


def test_files_of_further_contexts_belong_to_it(tmp_path: Path) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    section = build(tmp_path, contexts={"lib": str(library)})

    def taken() -> Fingerprint:
        return take_fingerprint(section, {}, "engine 26.1", HashCache(tmp_path / "hashes.json"))

    before = taken()
    (library / "new.py").write_text("x")
    after = taken()
    assert before.files == after.files
    assert {name for name in after.parts if after.parts[name] != before.parts.get(name)} == {"context lib"}


def test_where_a_site_lies_does_not_belong_to_it(tmp_path: Path) -> None:
    taken = []
    for name in ("here", "there"):
        (tmp_path / name / "lib").mkdir(parents=True)
        resolved = {
            "context": str(tmp_path / name / "api"),
            "additional_contexts": {"lib": str(tmp_path / name / "lib")},
        }
        section = build(tmp_path / name, contexts={"lib": str(tmp_path / name / "lib")}, resolved=resolved)
        taken.append(take_fingerprint(section, {}, "engine 26.1", HashCache(tmp_path / "hashes.json")))
    assert taken[0] == taken[1]


def test_a_base_image_is_the_same_one_in_each_image_store() -> None:
    def identity(**fields: Any) -> str:
        described = {"Id": "sha256:1", "RootFS": {"Layers": ["sha256:a"]}, "Config": {"Env": ["A=1"]}, **fields}
        client: Any = SimpleNamespace(api=SimpleNamespace(inspect_image=lambda _: described))
        return _Images(client).identity("debian:12")

    assert identity() == identity(Id="sha256:2")
    assert identity() != identity(RootFS={"Layers": ["sha256:b"]})
    assert identity() != identity(Config={"Env": ["A=2"]})

"""The lint finds steps that would use a network, and only those."""

from __future__ import annotations

import pytest

from core.findings import Level
from core.images.dockerfile_lint import lint_dockerfile, parse_instructions

BASE = "FROM here:1 AS base\n"


def found(text: str, *present: str) -> list[str]:
    """What the lint says, with these images in the engine."""
    return [finding.what for finding in lint_dockerfile(text, image_present=lambda name: name in ("here:1", *present))]


@pytest.mark.parametrize(
    "step",
    [
        "RUN pip install numpy",
        "RUN python -m pip install --find-links /w numpy",
        "RUN echo a && \\\n    pip3 install \\\n    # a comment\n    numpy",
        "RUN uv pip install numpy",
        "RUN pip --quiet --no-cache-dir install numpy",
        'RUN ["pip", "install", "numpy"]',
        "RUN apt-get install -y -o Dir::Etc::SourceParts=/tmp/x gcc",
        "RUN apt-get update",
        "RUN apt-get update && apt-get install -y gcc",
        "RUN apt install -y gcc",
        "RUN curl -O https://example.org/a",
        "RUN cd /tmp; wget http://example.org/a",
        "RUN git clone https://example.org/a.git",
        "RUN git -C /a submodule update --init",
        "RUN npm install",
        "RUN <<EOF\npip install numpy\nEOF",
        "ADD https://example.org/a /a",
        "ADD --chown=1 git@example.org:a/b.git /a",
        "ARG SOURCE=https://example.org/a\nADD $SOURCE /a",
        "ARG NAME=a SOURCE='https://example.org/a'\nADD $SOURCE /a",
        "ENV HOST=https://example.org\nENV SOURCE=$HOST/a\nADD $SOURCE /a",
        "COPY --from=elsewhere:2 /a /a",
        "RUN --mount=type=bind,from=elsewhere:2,target=/a ls /a",
        "RUN --network=host ls",
        "FROM elsewhere:2",
        "ARG IMAGE=elsewhere:2\nFROM ${IMAGE} AS next",
        "FROM $UNKNOWN",
        "FROM --platform=linux/amd64 elsewhere:2 AS next",
    ],
)
def test_refuses_what_reaches_out(step: str) -> None:
    findings = lint_dockerfile(BASE + step + "\n", image_present=lambda name: name == "here:1", file_name="Dockerfile")
    assert len(findings) >= 1
    assert all(finding.level is Level.ERROR and finding.why and finding.remedy for finding in findings)
    assert findings[0].where.startswith("Dockerfile:")


@pytest.mark.parametrize(
    "step",
    [
        "RUN pip install --no-index --find-links /w numpy",
        "RUN pip install --no-index \\\n  --find-links /w numpy",
        "RUN apt-get install -y -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null ./a.deb",
        "RUN echo no curling here && ls /etc/curlrc",
        "# RUN curl https://example.org\nRUN true",
        "COPY --from=base /a /a",
        "FROM base AS next\nCOPY --from=NEXT /a /b",
        "FROM scratch",
        "ADD local.tar /a",
        "RUN git --version",
        "RUN apt-get install -y -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::SourceList=/dev/null ./a.deb",
        'RUN ["pip", "install", "--no-index", "--find-links", "/w", "numpy"]',
        "ENV PATH=/opt/x/bin:$PATH\nADD $UNSET local.tar /a",
        "RUN --mount=type=bind,source=debs,target=/debs ls /debs",
    ],
)
def test_leaves_the_rest_alone(step: str) -> None:
    assert found(BASE + step + "\n") == []


def test_a_syntax_line_counts_only_at_the_top() -> None:
    assert found("# syntax=docker/dockerfile:1\n" + BASE) == ["# syntax=docker/dockerfile:1"]
    assert found("# escape=\\\n#Syntax = x/y\n" + BASE) == ["# syntax=x/y"]
    assert found(BASE + "# syntax=docker/dockerfile:1\n") == []


def test_asks_for_the_images_that_are_not_stages() -> None:
    text = "FROM here:1 AS a\nFROM there:2 AS b\nFROM a\nCOPY --from=b / /\n"
    assert found(text) == ["FROM there:2 AS b"]
    assert found(text, "there:2") == []


def test_instructions_know_their_lines_and_flags() -> None:
    text = "\nFROM a\n\n# note\nRUN --mount=type=cache,target=/c \\\n  ls \\\n  /c\nCOPY a b\n"
    steps = list(parse_instructions(text))
    expected = [(2, "FROM", "a"), (5, "RUN", "ls /c"), (8, "COPY", "a b")]
    assert [(step.line, step.word, step.text) for step in steps] == expected
    assert steps[1].flags == {"mount": "type=cache,target=/c"}

"""Which files a build sees, compared with a real BuildKit."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from core.stacks.dockerignore import read_dockerignore
from tests.support.engine import TestEngine

FILES = (
    "a.py",
    "b.txt",
    "Dockerfile",
    "src/a.py",
    "src/a+b.py",
    "src/[x].py",
    "src/deep/a.py",
    "src/deep/er/b.txt",
    "node_modules/a/b.js",
    "node_modules/keep.js",
    ".git/HEAD",
    ".hidden",
    "build/out.o",
    "build/src/a.py",
    "나사/a.py",
)
WRITTEN = (
    "node_modules\n**/*.py[co]\n.git\n",
    "*\n!src\n",
    "**\n!src/deep/**\n",
    "src/*\n!src/deep\nsrc/deep/er\n",
    "/src/\n",
    "# a comment\n  b.txt  \n\n!b.txt\n",
    "**/a.py\n!src/a.py\n",
    "!src/a.py\nsrc\n",
    "src/../b.txt\n./a.py\n",
    "?.py\n*.t?t\n",
    "src/[ab].py\nsrc/[^a].py\n",
    "src/a\\+b.py\nsrc/\\[x\\].py\n",
    "src/a+b.py\n",
    "**/deep\n!**/er\n",
    "*/*\n!build/src/*\n",
    ".dockerignore\nDockerfile\n",
    ".\n",
    "나사\n",
    "\ufeffb.txt\n",
)
PARTS = ("src", "deep", "er", "a.py", "b.txt", "*", "**", "?", "*.py", "node_modules", "build", ".git", "[a-s]*")


def invented(number: int) -> str:
    """Patterns made at random, the same for each run."""
    choice = random.Random(number)
    lines = []
    for _ in range(choice.randint(1, 5)):
        parts = "/".join(choice.choice(PARTS) for _ in range(choice.randint(1, 3)))
        lines.append(f"{'!' if choice.random() < 0.35 else ''}{parts}")
    return "\n".join(lines)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("FROM scratch\nCOPY . /\n" if name == "Dockerfile" else name)
    (root / "link").symlink_to("src")
    return root


@pytest.mark.engine
def test_it_is_what_a_real_build_sees(engine: TestEngine, context: Path, tmp_path: Path) -> None:
    seen: dict[str, list[str]] = {}
    expected: dict[str, list[str]] = {}
    for number, patterns in enumerate([*WRITTEN, *map(invented, range(20))]):
        (context / ".dockerignore").write_text(patterns)
        ignore = read_dockerignore(context, context / "Dockerfile")
        seen[patterns] = [path for path, _ in ignore.visible_files(context)]
        output = tmp_path / str(number)
        words = ["docker", "buildx", "build", "--quiet", "--output", f"type=local,dest={output}", str(context)]
        subprocess.run(words, env=engine.env, check=True, capture_output=True)
        found = [path for path in output.rglob("*") if path.is_symlink() or path.is_file()]
        expected[patterns] = [str(path.relative_to(output)) for path in found]
    assert {key: sorted(paths) for key, paths in seen.items()} == {
        key: sorted(paths) for key, paths in expected.items()
    }


def test_a_dockerfile_may_have_patterns_of_its_own(context: Path) -> None:
    (context / ".dockerignore").write_text("a.py\n")
    (context / "Dockerfile.dockerignore").write_text("*\n!b.txt\n")
    ignore = read_dockerignore(context, context / "Dockerfile")
    assert [path for path, _ in ignore.visible_files(context)] == ["b.txt"]


@pytest.mark.parametrize("pattern", ["!", "src/[", "! "])
def test_a_pattern_that_cannot_be_read_is_named(context: Path, pattern: str) -> None:
    (context / ".dockerignore").write_text(f"a.py\n{pattern}\n")
    with pytest.raises(ValueError, match="the pattern '"):
        read_dockerignore(context, context / "Dockerfile")

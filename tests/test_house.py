"""The rules of the code base: layers, no import cycles, lint and types."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "ruff", "check", "."],
        [sys.executable, "-m", "ruff", "format", "--check", "."],
        [sys.executable, "-m", "mypy"],
        [str(Path(sys.executable).with_name("lint-imports"))],
    ],
    ids=["ruff", "format", "mypy", "floors"],
)
def test_checker_is_content(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_core_loads_without_a_screen_or_the_inference_extra() -> None:
    """Importing every module of the console side pulls in neither Textual nor what only images hold."""
    code = (
        "import importlib, pkgutil, sys, core\n"
        "for m in pkgutil.walk_packages(core.__path__, 'core.'):\n"
        "    if m.name.startswith(('core.inference.', 'core.demo.cameras.')): continue\n"
        "    if m.name.endswith('__main__'): continue\n"
        "    importlib.import_module(m.name)\n"
        "bad = {'textual', 'av', 'numpy', 'fastapi', 'uvicorn', 'tui'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(bad)}' if bad else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_known_before_a_client_for_it_is_loaded(tmp_path: Path) -> None:
    """The first picture of a console without an engine and a service does not wait for what would speak to them."""
    code = (
        "import sys\n"
        "from core.engine import EngineError, connect_engine\n"
        "from core.service_client import ServiceClient, ServiceError\n"
        "from core.site import Site\n"
        "site = Site.open(sys.argv[1], {'DOCKER_HOST': 'unix:///nowhere/docker.sock'})\n"
        "for ask in (lambda: connect_engine(site), lambda: ServiceClient('http://127.0.0.1:9').status()):\n"
        "    try: ask()\n"
        "    except (EngineError, ServiceError) as error: print(error.why)\n"
        "sys.exit(f'loaded: {loaded}' if (loaded := {'docker', 'httpx'} & set(sys.modules)) else 0)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "the socket does not exist; the engine is not running or not installed",
        "nothing answers there",
    ]


def test_no_registry_host_and_no_machine_path_is_named() -> None:
    hosts = r"p" + r"ypi\.org|python" + r"hosted\.org|(deb|security)\.deb" + r"ian\.org|registry\.np" + r"mjs"
    done = subprocess.run(
        ["git", "grep", "-nIE", hosts + r"|/(w" + r"ork|ro" + r"ot)/", "--", ".", ":!*.svg"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""


def test_no_named_tuple_has_another_base() -> None:
    """Python 3.10, which images may have, refuses such a class when it is loaded; no checker says so."""
    classes = [
        (path, node)
        for path in (ROOT / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and len(node.bases) > 1
    ]
    assert len(classes) > 10
    bases = {f"{path.name}: {node.name}": [ast.unparse(base) for base in node.bases] for path, node in classes}
    assert [name for name, names in bases.items() if "NamedTuple" in names] == []


@pytest.mark.parametrize(
    ("role", "part"), [("demo", "console"), ("demo", "inference"), ("dev", "console"), ("dev", "demo")]
)
def test_a_role_has_the_packages_of_the_roles_in_it(role: str, part: str) -> None:
    """With the same versions: what works with the console's own packages works where more are installed."""

    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))

    assert pins(part) <= pins(role)

"""What of a checkout goes onto a medium, and what is missing for it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from core.carry.console_files import console_files, console_list_text, start_here_text
from core.errors import XaivaError
from core.site import Site
from tests.support.artifacts import wheel_file
from tests.support.console_medium import small_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return small_checkout(tmp_path / "checkout")


def test_a_console_has_its_code_and_its_wheels_and_nothing_that_a_site_made(site: Site, checkout: Path) -> None:
    for name in (
        ".env",
        "site.toml",
        "core/__pycache__/x.pyc",
        "core/.secret",
        ".venv/bin/x",
        "docs/screenshots/a.png",
    ):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("not to be carried")
    (checkout / "core/run.sh").write_text("#!/bin/sh\n")
    (checkout / "core/run.sh").chmod(0o700)
    code, *others = console_files(site, checkout)
    assert [file.path for file in others] == sorted(
        f"wheelhouse/{path.name}" for path in (checkout / "wheelhouse").iterdir()
    )
    with code.open() as file, tarfile.open(fileobj=io.BytesIO(file.read())) as archive:
        modes = {member.name: member.mode for member in archive}
    assert modes == {
        **dict.fromkeys(("xaiva", "core/run.sh"), 0o755),
        **dict.fromkeys(
            (
                "core/carry/stick/site_xaiva.sh",
                "LICENSE",
                "README.md",
                "README.ko.md",
                "CHANGELOG.md",
                "env.template",
                "pyproject.toml",
            ),
            0o644,
        ),
        **dict.fromkeys((f"requirements/{name}" for name in ("console.txt", "demo.txt", "pip_progress.py")), 0o644),
        **dict.fromkeys(("tui/__init__.py", "tui/__main__.py"), 0o644),
    }


def test_the_same_checkout_gives_the_same_bytes(site: Site, checkout: Path) -> None:
    first, second = console_files(site, checkout), console_files(site, checkout)
    assert console_list_text(first) == console_list_text(second)
    for file in first:
        with file.open() as opened:
            assert hashlib.sha256(opened.read()).hexdigest() == file.sha256


def _no_wheelhouse(checkout: Path) -> None:
    for path in (checkout / "wheelhouse").iterdir():
        path.unlink()


def _another_wheel(checkout: Path) -> None:
    wheel_file(checkout / "wheelhouse/tool-1.0-py3-none-any.whl", "tool", "1.0", content="changed = True")


def _one_less(checkout: Path) -> None:
    (checkout / "wheelhouse/tool-1.0-py3-none-any.whl").unlink()


def _no_launcher(checkout: Path) -> None:
    (checkout / "xaiva").unlink()


@pytest.mark.parametrize(
    ("fault", "problem", "remedy"),
    [
        (_no_wheelhouse, "there are no wheels in", "xaiva --wheelhouse"),
        (_another_wheel, "it is damaged, or belongs to another version of xaiva", "xaiva --wheelhouse"),
        (_one_less, "it has no wheel of tool", "xaiva --wheelhouse"),
        (_no_launcher, "has no xaiva; only a checkout", "pack with the `./xaiva` of a checkout"),
    ],
)
def test_what_is_missing_is_named(
    site: Site, checkout: Path, fault: Callable[[Path], None], problem: str, remedy: str
) -> None:
    fault(checkout)
    with pytest.raises(XaivaError) as caught:
        console_files(site, checkout)
    assert problem in caught.value.summary
    assert remedy in caught.value.remedy


def _python_site(folder: Path, member: str, sha256: str = "") -> Site:
    folder.mkdir()
    with tarfile.open(folder / "python.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(member))
    sha256 = sha256 or hashlib.sha256((folder / "python.tar").read_bytes()).hexdigest()
    (folder / "site.toml").write_text(f'[carry]\npython = "python.tar"\npython_sha256 = "{sha256}"\n')
    return Site.open(folder)


def test_a_python_is_carried_with_the_recorded_hash_alone(checkout: Path, tmp_path: Path) -> None:
    right = _python_site(tmp_path / "right", "python/bin/python3")
    assert console_files(right, checkout)[-1].path == "python.tar"
    with pytest.raises(XaivaError, match=r"its SHA-256 is .*, and carry.python_sha256 is 0000"):
        console_files(_python_site(tmp_path / "wrong", "python/bin/python3", "0" * 64), checkout)
    with pytest.raises(XaivaError, match="it has no python/bin/python3"):
        console_files(_python_site(tmp_path / "other", "bin/python3"), checkout)
    (tmp_path / "right/python.tar").write_bytes(b"no tar")
    with pytest.raises(XaivaError, match="it is no tar file"):
        console_files(right, checkout)


def test_the_first_text_names_the_shipment_in_two_languages() -> None:
    moment = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
    text = start_here_text(shipment="20261130-120000-abcdef", created=moment, office="anna@office", version="1.2.3")
    words = text.decode()
    assert words.count("20261130-120000-abcdef") == words.count("2026-11-30 12:00 UTC") == 2
    assert "지문" in words
    assert "SHA256:" not in words  # a fingerprint beside what it vouches for would prove nothing

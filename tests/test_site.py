"""Opening a site, and errors of the disk as messages."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from core.errors import InputError, XaivaError
from core.files import TEMPORARY_PREFIX, disk_error
from core.presets.run_fields import parse_volume
from core.site import Site

ROOT = Path(__file__).parent.parent
in_a_checkout = pytest.mark.skipif(
    not shutil.which("git") or not (ROOT / ".git").exists(), reason="git is missing, or this is no checkout"
)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("site.toml", b"name = ", "not valid TOML"),
        ("site.toml", b"[sync]\nconnections = 0\n", r"sync\.connections"),
        ("site.toml", b"[engine]\nhots = 'x'\n", r"engine\.hots: there is no such key"),
        ("site.toml", b'name = "W\xfcrzburg"', "not UTF-8"),
        (".env", b"NAME=W\xfcrzburg", "not UTF-8"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        Site.open(tmp_path, {})
    assert name in str(caught.value)


def test_a_folder_in_the_place_of_the_settings_is_told(tmp_path: Path) -> None:
    (tmp_path / "site.toml").mkdir()
    with pytest.raises(InputError, match=r"site\.toml: Is a directory"):
        Site.open(tmp_path, {})


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ONE=file\nTWO=file\n")
    site = Site.open(tmp_path, {"TWO": "hand"})
    assert (site.env["ONE"], site.env["TWO"]) == ("file", "hand")


def test_a_secret_is_added_to_dotenv_and_nothing_there_is_lost(tmp_path: Path) -> None:
    site, earlier = Site.open(tmp_path, {}), Site.open(tmp_path, {})
    site.append_secret("FIRST", "one")
    dotenv = tmp_path / ".env"
    assert stat.S_IMODE(dotenv.stat().st_mode) == 0o600
    dotenv.write_text("# by hand\nOTHER='two words'")
    dotenv.chmod(0o644)
    site.append_secret("SECOND", "two")
    assert dotenv.read_text() == "# by hand\nOTHER='two words'\nSECOND=two\n"
    assert stat.S_IMODE(dotenv.stat().st_mode) == 0o600
    assert (site.env["SECOND"], earlier.secret("SECOND"), earlier.secret("THIRD")) == ("two", "two", "")
    dotenv.unlink()
    dotenv.mkdir()
    with pytest.raises(XaivaError, match="cannot be written"):
        site.append_secret("THIRD", "three")


@pytest.mark.parametrize(
    ("number", "name", "said"),
    [
        (errno.ENOSPC, "/a/b", "No space left for /a/b"),
        (errno.EDQUOT, None, "No space left"),
        (errno.EROFS, "/a/b", "/a/b cannot be written"),
        (errno.EACCES, "/a/b", "No access to /a/b"),
        (errno.EACCES, None, ""),
        (errno.EIO, "/a/b", ""),
    ],
)
def test_what_a_disk_refuses_is_said_in_words(number: int, name: str | None, said: str) -> None:
    message = disk_error(OSError(number, os.strerror(number), name))
    assert (message.what if message else "") == said


@in_a_checkout
def test_what_a_site_makes_in_a_checkout_is_not_offered_for_a_commit() -> None:
    site = Site.open(ROOT, {})
    presets = [json.loads(path.read_text()) for path in site.presets.glob("*.json")]
    volumes = {parse_volume(text).host for preset in presets for text in preset.get("run", {}).get("volumes", [])}
    assert {"./data", "./models"} <= volumes
    files = [
        *(f"{volume}/file" for volume in volumes if volume.startswith("./")),
        *(f"{folder.relative_to(ROOT)}/any/file" for folder in (site.state, site.artifacts, site.docker / "compat")),
        *(".env", "cameras.env", "site.toml", "exports/events.csv", "certs/service.crt", "service.key", "service.pem"),
        *(f"presets/{TEMPORARY_PREFIX}1", "wheelhouse/any.whl", ".venv/bin/python"),
    ]
    done = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert sorted(done.stdout.splitlines()) == sorted(files)


@in_a_checkout
def test_nothing_that_is_tracked_is_ignored() -> None:
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""

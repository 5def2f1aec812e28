"""The audit log: appended to, durable, without secrets, on the site and on a medium."""

from __future__ import annotations

import json
import multiprocessing
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from core import audit
from core.project_metadata import package_version
from core.redaction import set_secrets
from core.site import Site
from tests.cli.conftest import Xaiva, small_site, xaiva

__all__ = ["small_site", "xaiva"]
NOW = datetime(2026, 12, 1, tzinfo=timezone.utc)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_entry_says_who_did_what_when_and_where(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "kim")
    monkeypatch.setattr("socket.gethostname", lambda: "Line 7.Fabrik_Ü")
    audit.record(site, "unpack", "20261201-120000-abcdef", {"presets": ["a"], "files": 3}, medium=tmp_path)
    (entry,) = audit.read_audit(site, 10)
    assert (entry.action, entry.subject, entry.details) == (
        "unpack",
        "20261201-120000-abcdef",
        {"presets": ["a"], "files": 3},
    )
    assert (entry.user.split(" ")[0], entry.host, entry.xaiva) == ("kim", "Line 7.Fabrik_Ü", package_version())
    assert datetime.strptime(entry.time, "%Y-%m-%dT%H:%M:%SZ")
    (path,) = (tmp_path / "audit").iterdir()
    assert path.name.startswith("line-7-fabrik-2")
    assert _lines(path) == _lines(audit.audit_file(site))


@pytest.mark.parametrize(
    ("host", "name"),
    [("BOX.local", "box-local-20261201.jsonl"), ("", "host-20261201.jsonl"), ("공장", "host-20261201.jsonl")],
)
def test_names_on_a_medium_are_lower_case_ascii(host: str, name: str) -> None:
    assert audit.medium_file_name(host, NOW) == name


def test_earlier_lines_are_never_rewritten(site: Site) -> None:
    audit.record(site, "build", "one", {})
    before = audit.audit_file(site).read_bytes()
    inode = audit.audit_file(site).stat().st_ino
    audit.record(site, "build", "two", {})
    assert audit.audit_file(site).read_bytes().startswith(before)
    assert audit.audit_file(site).stat().st_ino == inode


def test_a_line_that_was_cut_off_by_a_power_failure_spoils_no_other(site: Site) -> None:
    audit.record(site, "build", "one", {})
    with audit.audit_file(site).open("a") as file:
        file.write('{"time": "2026-')
    audit.record(site, "build", "three", {})
    first, second, third = audit.read_audit(site, 10)
    assert (first.subject, second.unreadable, third.subject) == ("one", '{"time": "2026-', "three")


def test_no_line_is_long_and_none_holds_a_secret(site: Site) -> None:
    set_secrets({"ACME_TOKEN": "hunter2hunter2"})
    audit.record(site, "pack", "x" * 9000, {"files": ['"' * 90] * 900})
    audit.record(
        site, "pack\x1b[2J\nodd", "hunter2hunter2", {"password": "letmein", "url": "https://a:secretsecret@b/"}
    )
    raw = audit.audit_file(site).read_bytes()
    assert all(len(line) <= audit.MAX_LINE_BYTES for line in raw.splitlines())
    assert len(raw.splitlines()) == 2
    for secret in (b"hunter2", b"letmein", b"secretsecret", b"\x1b"):
        assert secret not in raw
    assert list(audit.read_audit(site, 2)[0].details) == ["cut"]


def _record_many(site: Site, subject: str) -> None:
    for number in range(50):
        audit.record(site, "build", f"{subject}{number}", {"text": "x" * 3000})


def test_two_processes_at_once_lose_no_line(site: Site) -> None:
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=_record_many, args=(site, name)) for name in "ab"]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert {entry.subject for entry in audit.read_audit(site, 1000)} == {f"{n}{i}" for n in "ab" for i in range(50)}


def test_what_cannot_be_written_is_a_warning(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "audit").write_text("a file in the way")
    audit.record(site, "unpack", "x", {}, medium=tmp_path)
    assert "an entry could not be written: Not a directory" in caplog.text or "File exists" in caplog.text
    assert len(audit.read_audit(site, 10)) == 1
    caplog.clear()
    audit.audit_file(site).unlink()
    audit.audit_file(site).mkdir()
    audit.record(site, "build", "x", {})
    assert f"Audit log {audit.audit_file(site)}: an entry could not be written" in caplog.text


@pytest.mark.parametrize("name", ["audit", "audit/file"])
def test_no_link_on_a_medium_is_followed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(audit, "medium_file_name", lambda host, now: "file")
    target = tmp_path / "target"
    medium = tmp_path / "medium"
    (medium / name).parent.mkdir(parents=True)
    target.mkdir() if name == "audit" else target.touch()
    (medium / name).symlink_to(target)
    audit.record(site, "unpack", "x", {}, medium=medium)
    assert list(target.iterdir()) == [] if target.is_dir() else target.read_text() == ""


def test_a_state_folder_on_another_disk_is_followed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    site.state.symlink_to(tmp_path / "state")
    audit.record(site, "build", "one", {})
    assert (tmp_path / "state/audit.jsonl").exists()


def test_a_named_pipe_blocks_nobody(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.state.mkdir()
    os.mkfifo(audit.audit_file(site))
    audit.record(site, "build", "one", {})
    assert "it is a named pipe, not a file" in caplog.text


def test_the_command_shows_the_newest(xaiva: Xaiva, small_site: Site) -> None:
    assert xaiva("audit").err == "nothing was recorded yet\n"
    for number in range(30):
        audit.record(small_site, "build", f"preset{number}", {"outcome": "done"})
    shown = xaiva("audit", "--last", "2").out.splitlines()
    assert [line.split()[4] for line in shown[1:]] == ["preset28", "preset29"]
    assert "outcome=done" in shown[1]
    document = xaiva("audit", "--json").document
    assert [entry["subject"] for entry in document["entries"]] == [f"preset{number}" for number in range(10, 30)]

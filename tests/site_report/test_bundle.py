"""The support bundle: what is in it, what is cut, what is said about the rest."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, XaivaError
from core.operations.ledger import Ledger
from core.redaction import HIDDEN, redact_text
from core.site import Site
from core.site_report import logs
from core.site_report.bundle import choose_logs, write_bundle
from core.site_report.files import read_report
from core.site_report.logs import AvailableLogs, LogPart, SupportLog, available_logs
from core.site_report.redacted_lines import redact_lines
from core.site_report.site_secrets import site_secrets
from tests.site_report.conftest import MakeReport

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"
BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"


def contents(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: file.read() for name, file in files.items() if file}


def a_log(name: str, *lines: str, cut: str = "") -> SupportLog:
    return SupportLog(name, f"about {name}", lambda: LogPart(list(lines), cut))


def test_a_bundle_and_its_manifest(site: Site, make_report: MakeReport, tmp_path: Path) -> None:
    def fail() -> LogPart:
        raise XaivaError("the log", "its disk is broken")

    chosen = [a_log("errors", "one", "two", cut="its first 7 bytes"), SupportLog("operation-3", "lock small", fail)]
    path = tmp_path / "bundle.tar.gz"
    write_bundle(site, path, make_report(), chosen, AvailableLogs(chosen, {"containers": "no engine"}))
    files = contents(path)
    assert list(files) == ["bundle/report.json", "bundle/logs/errors.txt", "bundle/manifest.json"]
    assert files["bundle/logs/errors.txt"] == b"one\ntwo\n"
    manifest: dict[str, Any] = json.loads(files["bundle/manifest.json"])
    assert manifest["format"] == 1
    assert manifest["not_read"] == [
        {"name": "containers", "why": "no engine"},
        {"name": "operation-3", "why": "the log: its disk is broken"},
    ]
    for entry in manifest["files"]:
        data = files[f"bundle/{entry['name']}"]
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert [entry["left_out"] for entry in manifest["files"]] == ["", "its first 7 bytes"]
    (tmp_path / "copy.json").write_bytes(files["bundle/report.json"])
    assert read_report(tmp_path / "copy.json") == make_report()


def test_the_same_facts_give_the_same_bytes(site: Site, make_report: MakeReport, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "bundle.tar.gz"
        write_bundle(site, path, make_report(), [a_log("errors", "one")], AvailableLogs())
    assert (tmp_path / "a/bundle.tar.gz").read_bytes() == (tmp_path / "b/bundle.tar.gz").read_bytes()


def test_only_a_bundle_is_replaced(site: Site, make_report: MakeReport, tmp_path: Path) -> None:
    settings = tmp_path / "site.toml"
    settings.write_text("mine")
    for path in (settings, tmp_path / "absent/bundle.tar.gz", tmp_path / ".tar.gz"):
        with pytest.raises(InputError):
            write_bundle(site, path, make_report(), [], AvailableLogs())
    assert settings.read_text() == "mine"
    (tmp_path / "folder.tar.gz").mkdir()
    with pytest.raises(XaivaError, match="it cannot be written: Is a directory"):
        write_bundle(site, tmp_path / "folder.tar.gz", make_report(), [], AvailableLogs())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.tar.gz", "site", "site.toml"]


def test_a_name_that_is_no_log_names_the_sources_that_failed() -> None:
    available = AvailableLogs([a_log("errors")], {"containers": "no engine"})
    assert [log.name for log in choose_logs(available, ["errors", "errors"])] == ["errors"]
    with pytest.raises(InputError, match=r"no such log; containers could not be read \(no engine\)"):
        choose_logs(available, ["container-a"])


def test_the_newest_part_of_a_long_log(site: Site, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 1000)
    site.state.mkdir()
    lines = [f"2026-11-01 line {number:04}" for number in range(1000)]
    (site.state / "errors.log").write_text("".join(f"{line}\n" for line in lines))
    (log,) = available_logs(Site(site.root, site.settings, {**site.env, **NOWHERE}), ledger).logs
    part = log.read()
    assert part.lines == lines[-len(part.lines) :]
    size = sum(len(line) + 1 for line in part.lines)
    assert 900 < size <= 1000
    assert part.cut == f"its first {21000 - size} bytes"
    (site.state / "errors.log").unlink()
    with pytest.raises(XaivaError, match="No such file"):
        log.read()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a", BEGIN, BODY, "a8Mq==", END, "b"], ["a", HIDDEN, HIDDEN, HIDDEN, HIDDEN, "b"]),
        ([f"12:00\tx\t{BEGIN}", f"12:00\tx\t{BODY}", f"12:00\tx\t{END}", "b"], [HIDDEN] * 3 + ["b"]),
        ([BODY, BODY, "a8Mq==", END, "b"], [HIDDEN] * 4 + ["b"]),
        (["started", BODY, "a8Mq==", END], ["started", HIDDEN, HIDDEN, HIDDEN]),
        ([BEGIN, BODY, "cut here"], [HIDDEN] * 3),
        (["12:00 ***", BODY, BODY, "and on"], ["12:00 ***", HIDDEN, HIDDEN, "and on"]),
        ([f"{BEGIN}\\n{BODY}\\n{END}", "b"], [HIDDEN, "b"]),
        ([END], [HIDDEN]),
        (["\x1b[1mbold\x1b[0m"], ["bold"]),
    ],
)
def test_keys_over_several_lines(lines: list[str], expected: list[str]) -> None:
    assert redact_lines(lines, None) == expected


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("compose.yaml", "services:\n  a:\n    environment:\n      - DB_PASSWORD=tr0ub4dor\n"),
        ("compose.yaml", "services:\n  a:\n    environment: {}\n    labels:\n      api_key: 'tr0ub4dor' # mine\n"),
        ("stacks/line/compose.yml", "x:\n  DB_URL: postgres://u:tr0ub4dor@db/x\n"),
        ("stacks/line/.env", "DB_PASSWORD='tr0ub4dor'\n"),
        ("line/db.env", "DB_PASSWORD=tr0ub4dor\nBROKEN='\n"),
        ("presets/small.json", '{"run": {"environment": {"DB_PASSWORD": "tr0ub4dor"}}}'),
        ("site.toml", '[service]\nurl = "https://u:tr0ub4dor@service.lan"\n'),
    ],
)
def test_secrets_in_files_of_the_site(site: Site, file: str, text: str) -> None:
    (site.root / file).parent.mkdir(parents=True, exist_ok=True)
    (site.root / file).write_text(text)
    (site.presets / "broken.json").write_text("[" * 100_000)
    assert redact_text("it is tr0ub4dor here", site_secrets(site)) == f"it is {HIDDEN} here"

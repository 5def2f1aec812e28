"""`xaiva site` and `xaiva support`: the report at the site and at the office, and the bundle."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from core.carry.signing import create_key, sign
from core.site import Site
from core.site_operations import site_ledger
from tests.cli.conftest import Xaiva, command
from tests.support import require
from tests.support.pty_session import PtySession

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "XAIVA_SERVICE": "http://127.0.0.1:9"}
UNKNOWN = "Docker engine at unix:///nowhere/docker.sock (named by DOCKER_HOST)"


@pytest.fixture
def log(small_site: Site) -> str:
    """The name of the log of an operation that failed."""
    ledger = site_ledger(small_site)
    return f"operation-{ledger.wait(ledger.start('lock', 'absent').id, 30).id}"


def names(bundle: Path) -> list[str]:
    with tarfile.open(bundle) as archive:
        return archive.getnames()


def test_the_report_at_the_site_and_at_the_office(xaiva: Xaiva, log: str, tmp_path: Path) -> None:
    preview = xaiva("site", "report", env=NO_ENGINE)
    assert preview.code == 0
    assert f"engine\nunknown: {UNKNOWN}" in preview.out
    assert f"{log.removeprefix('operation-')} lock absent, failed: " in preview.out
    assert not (tmp_path / "reports").exists()
    written = xaiva("site", "report", str(tmp_path), env=NO_ENGINE)
    assert written.err == "it is not signed: this site has no key; create one with: xaiva key create\n"
    document = xaiva("site", "report", str(tmp_path), "--json", env=NO_ENGINE).document
    assert document["signed"] is False
    assert document["report"]["presets"]["value"][0]["name"] == "small"
    path = Path(document["path"])
    assert path.parent == tmp_path / "reports"
    shown = xaiva("site", "show", str(path))
    assert shown.code == 0
    assert f"engine\nunknown: {UNKNOWN}" in shown.out
    assert shown.out.endswith("signature\nit is not signed\n")
    assert xaiva("site", "show", str(path), "--json").document["report"] == document["report"]


def test_the_key_that_signed_a_report(xaiva: Xaiva, small_site: Site, tmp_path: Path) -> None:
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    key = create_key(small_site, "line 3")
    written = xaiva("site", "report", str(tmp_path), env=NO_ENGINE)
    assert written.err == ""
    path = Path(written.out.strip())

    def state() -> tuple[int, str]:
        return (shown := xaiva("site", "show", str(path), "--json")).code, shown.document["signature"]["state"]

    assert state() == (0, "trusted key")
    assert xaiva("site", "show", str(path)).out.endswith(f"by {key.fingerprint} line 3, which is trusted here\n")
    trusted = small_site.state / "carry/allowed_signers"
    trusted.unlink()
    assert state() == (0, "unknown key")
    assert f"by {key.fingerprint}, which is not trusted here" in xaiva("site", "show", str(path)).out
    (small_site.state / "carry/revoked").write_text(f"{key.fingerprint} 2026-11-30 lost\n")
    assert state() == (3, "revoked key")
    path.write_bytes(path.read_bytes().replace(b'"small"', b'"large"'))
    assert state() == (3, "wrong")
    path.with_name(f"{path.name}.sig").write_bytes(b"no signature")
    assert state() == (3, "wrong")
    path.with_name(f"{path.name}.sig").write_bytes(sign(small_site, path.read_bytes()))
    assert state() == (3, "wrong")  # a signature of a shipment


def test_a_report_that_is_not_there(xaiva: Xaiva, tmp_path: Path) -> None:
    assert xaiva("site", "show", str(tmp_path / "absent.json")).code == 2
    refused = xaiva("site", "report", str(tmp_path / "absent"), env=NO_ENGINE)
    assert refused.code == 2
    assert "there is no such folder" in refused.err


def test_the_bundle_without_a_terminal(xaiva: Xaiva, log: str, tmp_path: Path) -> None:
    bundle = tmp_path / "b.tar.gz"
    listed = xaiva("support", "bundle", str(bundle), env=NO_ENGINE)
    assert listed.code == 0
    assert f"1  {log}  lock absent, failed" in listed.out
    assert f"not in it: containers: {UNKNOWN}" in listed.out
    assert names(bundle) == ["b/report.json", "b/manifest.json"]
    added = xaiva("support", "bundle", str(bundle), "--log", log, "--json", env=NO_ENGINE).document
    assert added["not_added"] == []
    assert names(bundle) == ["b/report.json", f"b/logs/{log}.txt", "b/manifest.json"]
    assert xaiva("support", "bundle", str(bundle), "--log", "nothing", env=NO_ENGINE).code == 2
    assert xaiva("support", "bundle", str(tmp_path / "b.zip"), env=NO_ENGINE).code == 2


@pytest.mark.terminal
def test_the_logs_are_chosen_in_a_terminal(small_site: Site, log: str, tmp_path: Path) -> None:
    bundle = tmp_path / "b.tar.gz"
    words = command(small_site, "support", "bundle", str(bundle))
    with PtySession(words, env=NO_ENGINE, cwd=Path.cwd()) as session:
        session.wait_for("Logs to add, by number")
        assert log in session.text
        session.press("1", "enter")
        session.wait_for("b.tar.gz")
        assert session.wait_end() == 0
    assert names(bundle) == ["b/report.json", f"b/logs/{log}.txt", "b/manifest.json"]

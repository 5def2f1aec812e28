"""Reports on media: written whole under plain names, signed, and read with suspicion."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from core.errors import InputError, XaivaError
from core.site_report import files
from core.site_report.files import NAMESPACE, read_report, report_text, signature_path, write_report
from tests.site_report.conftest import MakeReport
from tests.support import require


def test_a_report_comes_back_as_it_was(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(
        host={"name": "Halle-Süd", "architecture": "x86_64"},
        gpus={"state": "ok", "driver": "535.183.01", "gpus": [{"name": "GTX 1060", "state": "ok", "memory": None}]},
        images=[{"id": "sha256:" + "a" * 64, "tags": ["xaiva/a:latest"], "layers": ["sha256:" + "b" * 64]}],
        blobs={"verified": ["c" * 64]},
        events={"newest": [{"type": "motion", "camera": "hall", "started": "2026-11-30T09:00:00+01:00"}]},
    )
    path = write_report(report, tmp_path, None)
    assert path == tmp_path / "reports/halle-s-d-20261130-081559.json"
    assert read_report(path) == report
    assert path.read_bytes() == report_text(report)
    assert path.read_bytes().isascii()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("host", "name"),
    [("../../etc/x", "etc-x"), ("a" * 300, "a" * 40), ("호스트", "host"), ("CON:", "con"), ("x.local", "x-local")],
)
def test_a_name_fits_every_file_system(make_report: MakeReport, tmp_path: Path, host: str, name: str) -> None:
    assert write_report(make_report(host={"name": host}), tmp_path, None).name == f"{name}-20261130-081559.json"


def test_a_signature_counts_for_reports_alone(make_report: MakeReport, tmp_path: Path) -> None:
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    def sign(text: bytes, namespace: str) -> bytes:
        words = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", str(key)]
        return subprocess.run(words, input=text, capture_output=True, check=True).stdout

    path = write_report(make_report(), tmp_path, sign)
    (tmp_path / "signers").write_text(f"site {Path(f'{key}.pub').read_text()}")

    def verify(namespace: str) -> int:
        words = ["ssh-keygen", "-Y", "verify", "-f", str(tmp_path / "signers"), "-I", "site", "-n", namespace]
        words += ["-s", str(signature_path(path))]
        return subprocess.run(words, input=path.read_bytes(), capture_output=True, check=False).returncode

    assert verify(NAMESPACE) == 0
    assert verify("carry@xaiva") != 0


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
def test_a_medium_without_permissions(
    make_report: MakeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The kernel refuses them on FAT, and so does FAT behind FUSE."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fchmod", refuse)
    path = write_report(make_report(), tmp_path, lambda _text, _namespace: b"signature")
    assert read_report(path) == make_report()
    assert signature_path(path).read_bytes() == b"signature"


def test_nothing_is_written_when_it_cannot_be_signed(make_report: MakeReport, tmp_path: Path) -> None:
    def sign(_text: bytes, _namespace: str) -> bytes:
        raise XaivaError("Signing", "the key has a passphrase")

    with pytest.raises(XaivaError, match="passphrase"):
        write_report(make_report(), tmp_path, sign)
    assert list(tmp_path.iterdir()) == []


def test_a_medium_that_is_not_there(make_report: MakeReport, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        write_report(make_report(), tmp_path / "stick", None)
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(XaivaError, match="it cannot be written: File exists"):
        write_report(make_report(), tmp_path, None)


def test_a_report_of_a_newer_xaiva_is_readable(make_report: MakeReport, tmp_path: Path) -> None:
    data = json.loads(report_text(make_report(engine={"title": "docker 40.1", "image_store": "cloud"})))
    data["quantum"] = {"value": 1}
    data["engine"]["value"]["sealed"] = True
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data))
    engine = read_report(path).engine.value
    assert engine is not None
    assert engine.image_store.word == "cloud"
    assert not engine.image_store.is_known


def test_a_section_that_an_older_xaiva_did_not_have_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text('{"format": 1, "created": "2026-11-30T08:00:00Z", "host": {"value": {"name": "x"}}}')
    report = read_report(path)
    assert report.host_name == "x"
    assert report.gpus.value is None
    assert report.gpus.unknown == "the report does not say it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "it is no site report"),
        (b'{"format": 2}', "it has format 2, and this xaiva reads 1"),
        (b'{"format": 1, "format": 1}', 'the key "format" is given twice'),
        (b'{"format": 1}', "created: it is missing"),
        (b'{"format": 1, "created": "2026-11-30T08:00:00"}', "created: the time has no time zone"),
        (
            b'{"format": 1, "created": "2026-11-30T08:00:00Z", "blobs": {"value": {"verified": ["../x"]}}}',
            "verified[0]",
        ),
        (b'{"format": 1, "created": "2026-11-30T08:00:00Z", "gpus": {}}', "it has either a value"),
        (b'{"format": 1, "created": "2026-11-30T08:00:00Z", "gpus": {"value": {"state": 7}}}', "gpus.value.state"),
    ],
)
def test_a_strange_file_is_refused_with_its_field(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        read_report(path)
    assert str(path) in caught.value.what
    assert message in caught.value.summary


def test_what_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_REPORT_BYTES", 1 << 20)
    big = tmp_path / "big.json"
    with open(big, "wb") as file:
        file.truncate(2 << 20)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_report(big)
    for path in (tmp_path, tmp_path / "absent.json"):
        with pytest.raises(InputError):
            read_report(path)

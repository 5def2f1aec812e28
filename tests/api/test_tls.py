"""TLS with a given certificate, and the errors about a bad one."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import InputError
from core.inference import tls
from core.service_client import ServiceClient, ServiceError
from tests.api.serving import TOKEN, served
from tests.support import require
from tests.support.service import COMMAND, ServiceProcess


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a certificate and its key, another key, and the key with a password."""
    require(shutil.which("openssl"), "openssl")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    name = ("-subj", "/CN=xaiva", "-addext", "subjectAltName=IP:127.0.0.1")
    openssl("req", "-x509", *curve, "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "90", *name)
    openssl("req", "-x509", *curve, "-nodes", "-keyout", "soon.pem", "-out", "soon.pem", "-days", "3", *name)
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "other.pem")
    openssl("pkey", "-in", "key.pem", "-aes256", "-passout", "pass:secret", "-out", "locked.pem")
    (tmp_path / "garbage.pem").write_text("no certificate")
    return tmp_path


def test_a_client_that_knows_the_certificate_is_served_and_others_are_told_why(made: Path, tmp_path: Path) -> None:
    certificate = made / "cert.pem"
    with served(tmp_path / "data", tls=(certificate, made / "key.pem")) as running:
        with closing(ServiceClient(running.url, 5, token=TOKEN, ca=str(certificate))) as client:
            assert client.status().cameras == []
        with pytest.raises(ServiceError, match="its certificate is not trusted"):
            running.client().status()
        with pytest.raises(ServiceError):
            ServiceClient(running.url.replace("https", "http"), 5, token=TOKEN).status()
        with pytest.raises(InputError, match=r"site\.toml"):
            ServiceClient(running.url, 5, ca=str(made / "garbage.pem")).status()
    with served(tmp_path / "plain") as running, pytest.raises(ServiceError, match="does not use TLS"):
        ServiceClient(running.url.replace("http", "https"), 5).health()


@pytest.mark.parametrize(
    ("certificate", "key", "why"),
    [
        ("cert.pem", "other.pem", "does not belong to the certificate"),
        ("cert.pem", "locked.pem", "encrypted"),
        ("garbage.pem", "key.pem", "PEM"),
        ("cert.pem", None, "PEM"),
        ("cert.pem", "nothing.pem", "No such file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_listens(made: Path, certificate: str, key: str | None, why: str) -> None:
    with pytest.raises(InputError, match=why):
        tls.check_certificate(made / certificate, made / key if key else None)


def test_an_end_in_sight_is_warned_of(made: Path) -> None:
    assert tls.check_certificate(made / "cert.pem", made / "key.pem") == ""
    assert "expires on" in tls.check_certificate(made / "soon.pem", None)


def test_the_command_speaks_tls_and_ends_in_time_with_a_connection_open(made: Path, tmp_path: Path) -> None:
    pem = {"XAIVA_TLS_CERTIFICATE": str(made / "cert.pem"), "XAIVA_TLS_KEY": str(made / "key.pem")}
    service = ServiceProcess(tmp_path / "data", command=COMMAND, **pem)
    try:
        url = f"https://127.0.0.1:{service.port}"
        service.client = ServiceClient(url, 5, token=TOKEN, ca=str(made / "cert.pem"))
        service.ready()
        stream = service.client.stream()
        next(stream)
        assert service.stop() == 0  # within the 10 s that an engine grants
        assert "Traceback" not in service.log.read_text()
    finally:
        service.process.kill()
        service.process.wait()


def test_the_command_says_what_is_wrong_with_a_key_and_ends(made: Path, tmp_path: Path) -> None:
    pem = {"XAIVA_TLS_CERTIFICATE": str(made / "cert.pem"), "XAIVA_TLS_KEY": str(made / "locked.pem")}
    service = ServiceProcess(tmp_path / "data", command=COMMAND, **pem)
    assert service.process.wait(60) == 2
    log = service.log.read_text()
    assert "the key is encrypted" in log
    assert "Traceback" not in log

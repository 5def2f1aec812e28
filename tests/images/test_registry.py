"""The registry on loopback, spoken to over HTTP as an engine would."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.files import sha256_bytes
from core.images.image_blobs import DeliveredImage, FolderSource
from core.images.registry import Registry
from tests.images.layouts import Layout

SIZE = 3 << 20


class Client:
    """A registry of two layers, one of which the image it serves does not have."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.image: DeliveredImage = self.layout.image("xaiva/a:1", [("first", SIZE)])
        self.other: DeliveredImage = self.layout.image("xaiva/b:1", [("second", 1000)])
        self.layer = self.image.layers[0]
        self.registry = Registry([self.image], FolderSource(folder), lambda _: None)
        self.root = f"/v2/{self.registry.repository}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.registry.port, timeout=30)) as connection:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    client = Client(tmp_path / "blobs")
    with closing(client.registry):
        yield client


def content(client: Client, sha256: str) -> bytes:
    return (client.layout.folder / sha256).read_bytes()


def test_an_image_is_served_by_tag_and_by_digest(client: Client) -> None:
    assert client.ask("/v2/")[::2] == (200, b"{}")
    manifest = content(client, client.image.manifest)
    for reference in (client.image.config, f"sha256:{client.image.manifest}"):
        status, headers, body = client.ask(f"{client.root}/manifests/{reference}")
        assert (status, body) == (200, manifest)
        assert headers["Docker-Content-Digest"] == f"sha256:{client.image.manifest}"
        assert headers["Content-Type"] == json.loads(manifest)["mediaType"]
        status, headers, body = client.ask(f"{client.root}/manifests/{reference}", "HEAD")
        assert (status, headers["Content-Length"], body) == (200, str(len(manifest)), b"")
    for sha256 in (client.image.config, client.layer):
        status, _, body = client.ask(f"{client.root}/blobs/sha256:{sha256}")
        assert (status, sha256_bytes(body)) == (200, sha256)
    assert client.registry.sent[client.layer] == len(content(client, client.layer))


@pytest.mark.parametrize(
    ("span", "start", "end"), [("bytes=0-", 0, None), ("bytes=2000000-", 2_000_000, None), ("bytes=10-19", 10, 20)]
)
def test_a_range_is_a_part_of_the_blob(client: Client, span: str, start: int, end: int | None) -> None:
    whole = content(client, client.layer)
    status, headers, body = client.ask(f"{client.root}/blobs/sha256:{client.layer}", Range=span)
    assert (status, body) == (206, whole[start:end])
    assert headers["Content-Range"] == f"bytes {start}-{(end or len(whole)) - 1}/{len(whole)}"
    assert client.registry.sent[client.layer] == len(body)


def test_a_range_behind_the_end_is_refused(client: Client) -> None:
    size = len(content(client, client.layer))
    status, headers, _ = client.ask(f"{client.root}/blobs/sha256:{client.layer}", Range=f"bytes={size}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("{root}/manifests/latest", "MANIFEST_UNKNOWN"),
        ("{root}/manifests/sha256:{other.manifest}", "MANIFEST_UNKNOWN"),
        ("{root}/blobs/sha256:{other.layers[0]}", "BLOB_UNKNOWN"),
        ("{root}/blobs/..%2F..%2Fetc%2Fpasswd", "NAME_UNKNOWN"),
        ("{root}/tags/list", "NAME_UNKNOWN"),
        ("/v2/_catalog", "NAME_UNKNOWN"),
        ("/v2/xaiva-delivery/manifests/{image.config}", "NAME_UNKNOWN"),
        ("/", "NAME_UNKNOWN"),
    ],
)
def test_nothing_else_is_told(client: Client, path: str, code: str) -> None:
    path = path.format(root=client.root, image=client.image, other=client.other)
    status, _, body = client.ask(path)
    assert (status, json.loads(body)["errors"][0]["code"]) == (404, code)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_it_is_read_only(client: Client, method: str) -> None:
    assert client.ask(f"{client.root}/blobs/uploads/", method)[0] == 405


def test_a_page_of_another_host_gets_nothing(client: Client) -> None:
    """A browser on this machine may be led here by a name that resolves to 127.0.0.1."""
    assert client.ask(f"{client.root}/manifests/{client.image.config}", Host="evil.example")[0] == 400


def test_a_tls_hello_gets_an_http_status_line(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.registry.port), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01\x00\x05hello\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


def test_a_request_that_does_not_end_is_refused(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.registry.port), timeout=30) as connection:
        connection.sendall(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 414 ")


def test_the_end_of_a_damaged_blob_is_never_sent(client: Client) -> None:
    client.layout.flip_byte(client.layer, 100)
    with pytest.raises(http.client.IncompleteRead):
        client.ask(f"{client.root}/blobs/sha256:{client.layer}")
    assert client.registry.sent[client.layer] < len(content(client, client.layer))
    assert client.layer in str(client.registry.damage[client.layer])
    assert client.ask(f"{client.root}/blobs/sha256:{client.layer}")[0] == 404


def test_damage_of_a_blob_that_was_sent_in_pieces_is_looked_for(client: Client) -> None:
    client.layout.flip_byte(client.layer, 100)
    assert client.ask(f"{client.root}/blobs/sha256:{client.layer}", Range="bytes=50-")[0] == 206
    damage = client.registry.find_damage()
    assert damage is not None
    assert client.layer in damage.what


def test_a_blob_that_is_shorter_than_it_was_is_named(client: Client) -> None:
    (client.layout.folder / client.layer).write_bytes(content(client, client.layer)[:-1])
    with pytest.raises(http.client.IncompleteRead):
        client.ask(f"{client.root}/blobs/sha256:{client.layer}")
    assert client.layer in client.registry.damage


def test_closing_ends_open_connections(client: Client) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", client.registry.port, timeout=30)) as connection:
        connection.request("GET", "/v2/")
        connection.getresponse().read()
        assert connection.sock is not None
        client.registry.close()
        assert connection.sock.recv(1) == b""

"""Opening a site: what cannot be read is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InputError
from core.site import Site


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("site.toml", b"name = ", "not valid TOML"),
        ("site.toml", b"[sync]\nconnections = 0\n", r"sync\.connections"),
        ("site.toml", b'name = "W\xfcrzburg"', "not UTF-8"),
        (".env", b"NAME=W\xfcrzburg", "not UTF-8"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        Site.open(tmp_path, {})
    assert name in str(caught.value)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ONE=file\nTWO=file\n")
    site = Site.open(tmp_path, {"TWO": "hand"})
    assert (site.env["ONE"], site.env["TWO"]) == ("file", "hand")

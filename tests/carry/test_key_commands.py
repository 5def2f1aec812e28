"""`xaiva key`, as a person at the office and one at the site use it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.carry.signers import parse_signer
from core.site import Site
from tests.cli.conftest import Xaiva, small_site, xaiva
from tests.support.signing import make_key

__all__ = ["small_site", "xaiva"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The public file of another office's key."""
    return make_key(tmp_path / "other").with_suffix(".pub")


def test_the_office_creates_a_key_and_writes_its_fingerprint_on_paper(xaiva: Xaiva, small_site: Site) -> None:
    shown = xaiva("key", "create", "--comment", "Acme office").out
    blocks = re.search(r"^  SHA256: ((?:\S{4} ){10}\S{3})$", shown, re.MULTILINE)
    assert blocks
    key = xaiva("key", "show", "--json").document["key"]
    assert key["fingerprint"] == "SHA256:" + blocks[1].replace(" ", "")
    assert parse_signer(key["line"]).comment == "Acme office"
    (row,) = xaiva("key", "list").out.splitlines()[1:]
    assert row.split() == [key["fingerprint"], "trusted", "no", "end", "Acme", "office"]
    again = xaiva("key", "create", "--json")
    assert (again.code, again.document["error"]["why"]) == (2, "it exists already")


def test_a_site_trusts_a_key_until_a_day_and_revokes_it(xaiva: Xaiva, other: Path) -> None:
    empty = xaiva("key", "list")
    assert (empty.code, empty.err) == (0, "this site trusts no key yet\n")
    line = other.read_text().strip()
    key = xaiva("key", "trust", line, "--valid-before", "2020-01-31", "--json").document["key"]
    assert key["valid_before"] == "2020-01-31T00:00:00+00:00"
    assert xaiva("key", "list").out.splitlines()[1].split()[1] == "expired"
    assert xaiva("key", "trust", str(other)).out == f"{key['fingerprint']} is trusted (other)\n"
    document = xaiva("key", "list", "--json").document
    assert [(one["fingerprint"], one["valid"]) for one in document["keys"]] == [(key["fingerprint"], True)]

    assert xaiva("key", "revoke", key["fingerprint"]).code == 130  # nobody answered
    refusal = xaiva("key", "revoke", key["fingerprint"], "--yes")
    assert refusal.code == 2
    assert "it is the only key that this site trusts" in refusal.err
    assert xaiva("key", "create").code == 0
    assert xaiva("key", "revoke", key["fingerprint"], "--yes").out == f"{key['fingerprint']} is revoked\n"
    refusal = xaiva("key", "trust", str(other))
    assert refusal.code == 2
    assert "by hand" in refusal.err
    states = {row.split()[0]: row.split()[1] for row in xaiva("key", "list").out.splitlines()[1:]}
    assert states[key["fingerprint"]] == "revoked"


def test_a_key_is_changed_in_two_steps(xaiva: Xaiva) -> None:
    old = xaiva("key", "create", "--json").document["key"]
    begun = xaiva("key", "rotate")
    assert "The old key still signs" in begun.out
    assert xaiva("key", "show", "--json").document["key"] == old
    finished = xaiva("key", "rotate", "--finish", "--json").document
    assert finished["state"] == "finished"
    assert xaiva("key", "show", "--json").document["key"] == finished["key"]
    actions = [entry["action"] for entry in xaiva("audit", "--json").document["entries"]]
    assert actions == ["key trust", "key trust", "key rotate", "key revoke", "key rotate"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nothere.pub", "No such file or directory"),
        (".", "Is a directory"),
        ("ssh-rsa AAAA someone", "of type ssh-rsa"),
        ("two words", "there is no public key in it"),
    ],
)
def test_what_is_no_key_is_refused(xaiva: Xaiva, text: str, why: str) -> None:
    result = xaiva("key", "trust", text)
    assert result.code == 2
    assert why in result.err


def test_a_file_with_several_keys_is_refused(xaiva: Xaiva, other: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.write_text("# two\n" + other.read_text() * 2)
    assert "it has 2 lines" in xaiva("key", "trust", str(both)).err

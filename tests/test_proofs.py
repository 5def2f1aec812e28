"""A long proof is repeated only if its inputs changed or its stamp is too old."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import proofs


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one proof, which depends on `part/`, and an empty cache."""
    root = tmp_path / "checkout"
    (root / "part/deep").mkdir(parents=True)
    (root / "part/deep/a.py").write_text("1")
    (root / "other.py").write_text("1")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    monkeypatch.setattr(proofs, "ROOT", root)
    monkeypatch.setattr(proofs, "PROOFS", {"it": proofs.Proof("all", "", ("part",))})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root


def test_a_proof_that_passed_is_not_repeated_until_an_input_changes(checkout: Path) -> None:
    assert list(proofs.changed()) == ["it"]
    proofs.note_passed("it")
    assert list(proofs.changed()) == []
    (checkout / "other.py").write_text("2")
    assert list(proofs.changed()) == []
    (checkout / "part/new.py").write_text("1")
    assert list(proofs.changed()) == ["it"]
    (checkout / "part/new.py").unlink()
    assert list(proofs.changed()) == []
    (checkout / "part/deep/a.py").write_text("2")
    assert list(proofs.changed()) == ["it"]


def test_a_pass_of_long_ago_does_not_count(checkout: Path) -> None:
    proofs.note_passed("it")
    (stamp,) = (proofs.cache() / "proofs").iterdir()
    long_ago = time.time() - proofs.GOOD_FOR - 60
    os.utime(stamp, (long_ago, long_ago))
    assert list(proofs.changed()) == ["it"]


@pytest.mark.parametrize(("asked", "full"), [("", False), ("other", False), ("other it", True), ("all", True)])
def test_a_run_does_in_full_what_it_was_asked_for(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, asked: str, full: bool
) -> None:
    monkeypatch.setenv("XAIVA_TEST_ALL", asked)
    assert proofs.full("it") is full
    assert proofs.left_out("it") is not full


def test_every_input_of_a_proof_is_there() -> None:
    for proof in proofs.PROOFS.values():
        for name in proof.inputs:
            assert (proofs.ROOT / name).exists(), name

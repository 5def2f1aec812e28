"""A camera's bank: what it says of a picture, and the file it survives in."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import XaivaError
from core.inference.models.memory_bank import (
    BANK_VERSION,
    BankStore,
    BrokenBank,
    DistanceLimit,
    MemoryBank,
    NotLearned,
    picture_distances,
    score_from_excess,
)

NETWORK = "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> BankStore:
    return BankStore(tmp_path / "banks", NETWORK)


@pytest.fixture
def bank() -> MemoryBank:
    rng = np.random.default_rng(0)
    return MemoryBank(
        mean=rng.normal(size=152).astype(np.float32),
        spread=np.ones(152, np.float32),
        patches=rng.normal(size=(40, 152)).astype(np.float32),
        place=DistanceLimit(4, 8),
        whole=DistanceLimit(2, 3),
        model=NETWORK,
        frames=30,
        seconds=600.5,
        learned=1.7e9,
    )


def test_score_rises_from_what_is_typical_through_one_half_at_the_limit_towards_one() -> None:
    scores = [score_from_excess(excess) for excess in np.linspace(-1, 6, 200)]
    assert scores == sorted(scores)
    assert 0 <= score_from_excess(-30) < score_from_excess(0) < 0.2
    assert score_from_excess(1) == 0.5
    assert 0.9 < score_from_excess(3) < score_from_excess(6) < score_from_excess(30) <= 1


@pytest.mark.parametrize(
    ("nearest", "least", "most"), [((4, 2), 0.1, 0.13), ((8.2, 2), 0.5, 0.6), ((4, 3.1), 0.5, 0.6)]
)
def test_picture_is_an_anomaly_by_its_worst_place_or_as_a_whole(
    bank: MemoryBank, nearest: tuple[float, float], least: float, most: float
) -> None:
    place, whole = nearest
    distances = np.full(300, whole, np.float32)
    distances[:3] = place
    distances[3:] += (whole - distances.mean()) * 300 / 297
    assert least <= bank.score(distances) <= most


def test_one_noisy_patch_counts_for_a_third() -> None:
    distances = np.zeros(300, np.float32)
    distances[7] = 9
    assert picture_distances(distances)[0] == 3


def test_bank_comes_back_from_its_file(store: BankStore, bank: MemoryBank) -> None:
    store.save("gate", bank)
    loaded = BankStore(store._folder, NETWORK).load("gate")
    assert (loaded.place, loaded.whole, loaded.frames, loaded.seconds) == (bank.place, bank.whole, 30, 600.5)
    assert np.abs(loaded.patches - bank.patches).max() < 0.01  # kept in half precision
    assert np.array_equal(loaded.mean, bank.mean)
    assert store.why_unusable("gate") == ""


def test_camera_without_a_bank_is_not_learned_yet(store: BankStore) -> None:
    with pytest.raises(NotLearned, match="not learned yet"):
        store.load("gate")
    assert store.why_unusable("gate") == "not learned yet; xaiva camera learn gate"


@pytest.mark.parametrize("harm", ["first", "middle", "early", "cut", "empty", "text", "locked", "compressed"])
def test_damaged_bank_is_told_with_what_to_do(store: BankStore, bank: MemoryBank, harm: str) -> None:
    store.save("gate", bank)
    path = store._folder / "gate.npz"
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")  # of the zip file's list of contents: its flags, then how it is compressed
    places = {
        "first": 3,
        "middle": len(raw) // 2,
        "early": len(raw) // 20,
        "locked": entry + 8,
        "compressed": entry + 10,
    }
    if harm in places:
        raw[places[harm]] ^= 1 if harm == "locked" else 0xFF
    path.write_bytes({"cut": bytes(raw[:-700]), "empty": b"", "text": b"no bank at all"}.get(harm, bytes(raw)))
    with pytest.raises(BrokenBank, match="damaged"):
        store.load("gate")
    assert "xaiva camera learn gate" in store.why_unusable("gate")


def test_values_changed_inside_a_sound_file_are_found(store: BankStore, bank: MemoryBank) -> None:
    store.save("gate", bank)
    path = store._folder / "gate.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["patches"][0, 0] += 1
    out = io.BytesIO()
    np.savez(out, **arrays)
    path.write_bytes(out.getvalue())
    with pytest.raises(BrokenBank, match="damaged"):
        store.load("gate")


def test_bank_of_another_network_is_not_used(store: BankStore, bank: MemoryBank) -> None:
    store.save("gate", replace(bank, model="b" * 64))
    with pytest.raises(BrokenBank, match="a different network"):
        store.load("gate")


def test_bank_of_another_version_is_not_used(
    store: BankStore, bank: MemoryBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.inference.models.memory_bank.BANK_VERSION", BANK_VERSION + 1)
    store.save("gate", bank)
    monkeypatch.undo()
    with pytest.raises(BrokenBank, match="another version"):
        store.load("gate")


def test_trouble_follows_the_file(store: BankStore, bank: MemoryBank) -> None:
    assert "not learned" in store.why_unusable("gate")
    store.save("gate", bank)
    assert store.why_unusable("gate") == ""
    (store._folder / "gate.npz").write_bytes(b"spoilt")
    assert "damaged" in store.why_unusable("gate")
    store.drop("gate")
    store.drop("gate")
    assert "not learned" in store.why_unusable("gate")


def test_folder_that_cannot_be_written_is_told(tmp_path: Path, bank: MemoryBank) -> None:
    (tmp_path / "banks").write_text("a file where the folder should be")
    with pytest.raises(XaivaError, match="cannot be written"):
        BankStore(tmp_path / "banks", NETWORK).save("gate", bank)

"""A product's memory bank: what it finds, where, and the generations it survives in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.api_schema import Region
from core.errors import InputError
from core.inference.generations import BrokenGeneration, NoGeneration
from core.inference.models import bank_files
from core.inference.models import fit_product_bank as fitting
from core.inference.models.auroc import auroc
from core.inference.models.bank_files import bank_generations, bank_reader, products_with_banks, publish_bank
from core.inference.models.features import AveragedFeatures
from core.inference.models.fit_product_bank import FitOptions, ProductPictures, fit_product_bank
from core.inference.models.product_bank import BankFacts, PictureFeatures, ProductBank, least_size, picture_features
from core.inference.settings import ServiceSettings
from tests.support.parts import Rgb, plates

WHOLE = Region()


def features_of(pictures: list[Rgb], network: AveragedFeatures, **cut: object) -> list[PictureFeatures]:
    region, tiles = cut.get("region", WHOLE), cut.get("tiles", (1, 1))
    return [picture_features(picture, network, region, tiles) for picture in pictures]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def network(averaged: AveragedFeatures) -> AveragedFeatures:
    return averaged


@pytest.fixture(scope="module")
def normal(network: AveragedFeatures) -> list[PictureFeatures]:
    return features_of(plates(24), network)


@pytest.fixture(scope="module")
def bank(network: AveragedFeatures, normal: list[PictureFeatures]) -> ProductBank:
    spoilt = [
        (kind, one) for kind in ("scratch", "blob") for one in features_of(plates(3, seed=5, defect=kind), network)
    ]
    return fit_product_bank(ProductPictures("plate", normal, spoilt), network)


def test_defect_is_found_and_the_map_shows_where(bank: ProductBank, network: AveragedFeatures) -> None:
    normal = [bank.score(picture, network) for picture in plates(12, seed=9)]
    assert np.mean([one.score < 0.5 for one in normal]) >= 0.8
    for kind in ("scratch", "blob"):
        for picture in plates(4, seed=3, defect=kind):
            found = bank.score(picture, network)
            assert found.score > 0.6
            assert found.map.shape == (network.rows, network.columns)
            row, column = np.unravel_index(found.map.argmax(), found.map.shape)
            assert 3 <= row <= 11  # between the holes, where defects are composed
            assert 6 <= column <= 18


def test_facts_tell_what_was_measured(bank: ProductBank) -> None:
    facts = bank.facts
    assert (facts.pictures, facts.patches, len(facts.held_out)) == (24, 1500, 24)
    assert sorted(facts.defects) == ["blob", "scratch"]
    assert facts.auroc is not None
    assert facts.auroc > 0.9
    assert facts.false_alarms <= 0.05
    normal, defect = facts.histogram()
    assert (len(normal), sum(normal), sum(defect)) == (20, 24, 6)
    assert sum(normal[:10]) >= 23
    assert sum(defect[10:]) == 6
    assert BankFacts.model_validate(facts.model_dump(mode="json")) == facts


def test_with_few_known_defects_no_auroc_is_claimed(bank: ProductBank) -> None:
    few = bank.facts.model_copy(update={"defects": {"scratch": [0.9, 0.8]}})
    assert few.auroc is None


def test_the_same_pictures_give_the_same_bank(
    bank: ProductBank, network: AveragedFeatures, normal: list[PictureFeatures]
) -> None:
    again = fit_product_bank(ProductPictures("plate", normal), network, FitOptions(threads=2))
    assert np.array_equal(again.bank.patches, bank.bank.patches)
    assert again.bank.place.limit == pytest.approx(bank.bank.place.limit, rel=1e-5)


def test_more_patches_than_are_selected_from_at_once_are_reduced_in_parts(
    network: AveragedFeatures, normal: list[PictureFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "MAX_NUMBERS", 3000 * network.channels)
    steps: dict[str, list[float]] = {}

    def report(step: str, done: int, total: int) -> None:
        steps.setdefault(step, []).append(done / total)

    bank = fit_product_bank(ProductPictures("plate", normal), network, FitOptions(report=report))
    assert len(bank.bank.patches) == 1500
    assert min(bank.score(picture, network).score for picture in plates(3, seed=3, defect="scratch")) > 0.6
    assert list(steps) == ["held-out", "coreset"]
    assert all(shares == sorted(shares) and shares[-1] == 1 for shares in steps.values())


def test_region_and_tiles_make_a_small_defect_stand_out(network: AveragedFeatures) -> None:
    region, tiles = Region(left=0.25, right=0.75, top=0.2, bottom=0.8), (2, 1)
    cut = {"region": region, "tiles": tiles}
    normal = features_of(plates(10), network, **cut)
    assert normal[0].shape == (2 * network.patches, network.channels)
    bank = fit_product_bank(ProductPictures("plate", normal, region=region, tiles=tiles), network)
    found = bank.score(plates(1, seed=3, defect="blob")[0], network)
    assert found.score > 0.8
    rows, columns = found.map.shape
    assert (rows, columns) == (round(network.rows / 0.6), 4 * network.columns)
    inside = found.map[round(0.2 * rows) : round(0.2 * rows) + network.rows, columns // 4 : columns * 3 // 4]
    assert found.map.sum() == pytest.approx(inside.sum())
    assert least_size(region, tiles, (network.width, network.height)) == (1536, 373)
    with pytest.raises(InputError, match="too few for 2 x 1 tiles"):
        bank.score(np.zeros((12, 12, 3), np.uint8), network)


def test_too_few_normal_pictures_are_refused(network: AveragedFeatures, normal: list[PictureFeatures]) -> None:
    with pytest.raises(InputError, match="7 of the normal pictures can be used and 8 are needed"):
        fit_product_bank(ProductPictures("plate", normal[:7]), network)


def test_fitting_stops_when_asked(network: AveragedFeatures, normal: list[PictureFeatures]) -> None:
    with pytest.raises(InterruptedError):
        fit_product_bank(ProductPictures("plate", normal), network, FitOptions(stopped=lambda: True))


def test_scoring_known_defects_is_reported_and_stops_when_asked(
    network: AveragedFeatures, normal: list[PictureFeatures]
) -> None:
    steps: list[tuple[str, int, int]] = []
    pictures = ProductPictures("plate", normal[:8], [("scratch", one) for one in normal[8:12]])
    options = FitOptions(report=lambda *step: steps.append(step), stopped=lambda: steps[-1:] == [("defects", 2, 4)])
    with pytest.raises(InterruptedError):
        fit_product_bank(pictures, network, options)
    assert [step for step in steps if step[0] == "defects"] == [("defects", 1, 4), ("defects", 2, 4)]


@pytest.mark.parametrize(
    "name", ["plate", "금속 판 A/B".replace("/", "-"), "..", ".hidden", "100%", "판" * 100, "a.b~c"]
)
def test_bank_comes_back_from_its_generation_under_any_name(
    bank: ProductBank, network: AveragedFeatures, settings: ServiceSettings, name: str
) -> None:
    named = ProductBank(bank.bank, bank.facts.model_copy(update={"product": name}))
    reader = bank_reader(settings, name)
    with pytest.raises(NoGeneration):
        reader.current()
    assert publish_bank(settings, named).path.parent.parent == settings.inspection_folder / "banks"
    held = reader.current()
    assert (held.manifest.number, held.content.facts) == (1, named.facts)
    picture = plates(1, seed=3, defect="scratch")[0]
    assert held.content.score(picture, network).score == pytest.approx(bank.score(picture, network).score, abs=0.01)
    assert products_with_banks(settings) == [name]


def test_damaged_banks_are_refused_and_the_earlier_one_answers(bank: ProductBank, settings: ServiceSettings) -> None:
    publish_bank(settings, bank)
    reader = bank_reader(settings, "plate")
    path = publish_bank(settings, bank).path / bank_files.BANK_FILE
    path.write_bytes(path.read_bytes()[:-9])
    assert reader.current().manifest.number == 1
    assert "bank.npz is not what was written" in reader.trouble
    assert products_with_banks(settings) == ["plate"]


def test_manifest_of_something_else_is_refused(settings: ServiceSettings) -> None:
    generations = bank_generations(settings, "plate")
    with generations.write() as folder:
        (folder / "vectors.faiss").write_text("")
        generations.publish(folder, {"count": 7})
    with pytest.raises(BrokenGeneration, match="not one of a memory bank"):
        bank_reader(settings, "plate").current()
    assert products_with_banks(settings) == []


def test_no_bank_folder_means_no_products(tmp_path: Path) -> None:
    assert products_with_banks(ServiceSettings(data=tmp_path)) == []


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert auroc([1, 2, 3], [4, 5]) == 1
    assert auroc([1, 2, 3], [2, 9]) == pytest.approx((1.5 + 3) / 6)
    assert np.isnan(auroc([], [1]))
    rng = np.random.default_rng(0)
    normal, defect = rng.integers(0, 9, 300), rng.integers(2, 12, 200)
    pairs = (defect[:, None] > normal) + 0.5 * (defect[:, None] == normal)
    assert auroc(normal, defect) == pytest.approx(pairs.mean())

"""The job that rebuilds memory banks, end to end on a folder: what it publishes, refuses, keeps and reports."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.api_schema import ProductSettings, Region
from core.errors import Cancelled, InputError, TransientError, XaivaError
from core.inference.database.engine import Database
from core.inference.inspection import bank_job, feature_cache
from core.inference.inspection.feature_cache import FeatureCache
from core.inference.inspection.pictures import decode
from core.inference.inspection.products import ProductStore
from core.inference.jobs.context import JobContext
from core.inference.models.bank_files import bank_generations, bank_reader
from core.inference.models.execution_providers import select_provider
from core.inference.models.features import AveragedFeatures
from core.inference.models.product_bank import ProductBank
from core.inference.settings import ServiceSettings
from core.inference.storage.model import StorageDown
from core.progress import Stage, StageState
from tests.inspection.conftest import Recorder
from tests.support.object_storage import ENVIRONMENT, rclone_s3
from tests.support.parts import plates, store

SIZE = (384, 224)  # of the network: pictures that need no scaling
NUMBERS = 336 * 152  # of the features of one picture


def put(images: Path, product: str, count: int = 12, seed: int = 0, defect: str = "") -> list[Path]:
    folder = images / "defect" / product / defect if defect else images / "normal" / product
    return store(plates(count, seed, size=SIZE, defect=defect), folder, f"{seed}")


def rebuild(context: JobContext, subject: str = "", progress: Recorder | None = None, **options: Any) -> Any:
    return bank_job.run(context, subject, options, progress or Recorder())


def bank(context: JobContext, product: str = "plate") -> ProductBank:
    return bank_reader(context.settings, product).current().content


@pytest.fixture(scope="module")
def network() -> AveragedFeatures:
    loaded = AveragedFeatures(select_provider("cpu"))
    loaded.load()
    return loaded


def test_every_product_gets_a_bank_that_finds_its_defects(
    context: JobContext, images: Path, network: AveragedFeatures
) -> None:
    put(images, "plate")
    put(images, "금속 판", seed=1)
    put(images, "plate", 5, 7, "scratch")
    progress = Recorder()
    result = rebuild(context, progress=progress)
    assert sorted(result["products"]) == ["plate", "금속 판"]
    plate = result["products"]["plate"]
    assert (plate["generation"], plate["pictures"], plate["defects"], plate["computed"]) == (1, 12, 5, 17)
    assert plate["auroc"] == 1
    assert (result["failed"], result["findings"]) == (0, [])
    scratched = put(images, "unseen", 1, 8, "scratch")[0].read_bytes()
    assert bank(context).score(decode(scratched), network).score > 0.6
    assert bank(context, "금속 판").facts.pictures == 12
    waiting = [stage.title for stage in progress.stages if stage.state is StageState.WAITING]
    assert sorted(waiting) == ["plate", "금속 판"]
    last = progress.last()
    assert {last[name].state for name in ("list", "load", "product/plate", "product/금속 판")} == {StageState.DONE}
    parts = {stage.id.rpartition("/")[2] for stage in last.values() if stage.parent == "product/plate"}
    assert parts == {"fetch", "features", "fetch-defects", "held-out", "coreset", "defects", "publish"}
    assert (last["product/plate/features"].done, last["product/plate/coreset"].done) == (17, 1500)
    scored = last["product/plate/defects"]
    assert (scored.title, scored.done, scored.total, scored.unit) == ("Score known defects", 5, 5, "steps")


def test_second_run_computes_only_what_is_new_and_leaves_unchanged_banks(context: JobContext, images: Path) -> None:
    put(images, "plate")
    put(images, "disc", seed=1)
    rebuild(context)
    new = put(images, "plate", 2, 5)
    result = rebuild(context)["products"]
    assert (result["plate"]["generation"], result["plate"]["computed"], result["plate"]["pictures"]) == (2, 2, 14)
    assert (result["disc"]["generation"], result["disc"]["published"], result["disc"]["computed"]) == (1, False, 0)
    kept = context.settings.inspection_folder / "features" / "plate"
    assert len([path for path in kept.rglob("*") if path.is_file()]) == 14
    new[0].unlink()
    next(path for path in kept.rglob("*") if path.is_file()).write_bytes(b"damaged")
    result = rebuild(context, "plate")["products"]["plate"]
    assert (result["pictures"], result["computed"] <= 1) == (13, True)
    assert len([path for path in kept.rglob("*") if path.is_file()]) == 13
    again = rebuild(context, "plate", force=True)["products"]["plate"]
    assert (again["generation"], again["published"]) == (4, True)


def test_copies_and_other_names_of_pictures_change_nothing(context: JobContext, images: Path) -> None:
    put(images, "plate")
    rebuild(context)
    first = bank(context)
    (images / "normal/plate/0-000.jpg").rename(images / "normal/plate/0-000a.jpg")
    shutil.copy(images / "normal/plate/0-003.jpg", images / "normal/plate/copy.jpg")
    assert rebuild(context)["products"]["plate"]["published"] is False
    rebuild(context, force=True)
    assert (bank(context).bank.patches == first.bank.patches).all()
    assert bank(context).facts == first.facts


def test_broken_pictures_are_named_and_too_many_are_refused(context: JobContext, images: Path) -> None:
    put(images, "plate")
    (images / "normal/plate/cut.jpg").write_bytes((images / "normal/plate/0-000.jpg").read_bytes()[:900])
    (images / "normal/plate/notes.txt").write_text("no picture")
    (images / "defect/plate").mkdir(parents=True)
    shutil.copy(images / "normal/plate/0-000.jpg", images / "defect/plate/loose.jpg")
    result = rebuild(context)
    assert result["products"]["plate"]["pictures"] == 12
    named = {finding["what"]: finding["why"] for finding in result["findings"]}
    assert sorted(named) == ["defect/plate/loose.jpg", "normal/plate/cut.jpg", "normal/plate/notes.txt"]
    assert "cut off" in named["normal/plate/cut.jpg"]
    for number in range(9):
        (images / f"normal/plate/empty{number}.jpg").touch()
    with pytest.raises(InputError, match=r"12 of 24 files cannot be used, and 20% are allowed: .*; …") as refused:
        rebuild(context)
    assert refused.value.remedy == (
        "repair or remove them, or publish it all the same: xaiva product rebuild plate --force"
    )
    assert rebuild(context, force=True)["products"]["plate"]["pictures"] == 12


def test_picture_among_normals_and_defects_never_enters_the_bank(context: JobContext, images: Path) -> None:
    spoilt = put(images, "plate", 1, 7, "blob")[0]
    put(images, "plate", 10)
    shutil.copy(spoilt, images / "normal/plate/wrong.jpg")
    result = rebuild(context)
    assert (result["products"]["plate"]["pictures"], result["products"]["plate"]["defects"]) == (10, 1)
    assert [finding["code"] for finding in result["findings"]] == ["normal-and-defect"]


def test_one_product_that_fails_does_not_stop_the_others(
    context: JobContext, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank_job, "SHOWN_FINDINGS", 1)
    both = put(images, "few", 4)[0]
    put(images, "plate")
    (images / "defect/few/dent").mkdir(parents=True)
    shutil.copy(both, images / "defect/few/dent")  # a lesser finding, and the first
    progress = Recorder()
    result = rebuild(context, progress=progress)
    assert result["failed"] == 1
    assert "3 of the normal pictures can be used and 8 are needed" in result["products"]["few"]["failure"]
    assert result["products"]["plate"]["generation"] == 1
    assert [finding["level"] for finding in result["findings"]] == ["error"]
    assert progress.last()["product/few"].state is StageState.FAILED
    put(images, "fewer", 2)
    shutil.rmtree(images / "normal/plate")
    with pytest.raises(InputError, match=r"all 2 products failed; the first: .*3 of the normal pictures"):
        rebuild(context)
    with pytest.raises(InputError, match="3 of the normal pictures can be used"):
        rebuild(context, "few")
    assert bank(context).facts.pictures == 12  # nobody asked for its end


def test_nothing_to_build_from_is_said(context: JobContext, images: Path) -> None:
    with pytest.raises(InputError, match="no pictures below normal/ in the storage"):
        rebuild(context)
    with pytest.raises(InputError, match="0 of the normal pictures can be used"):
        rebuild(context, "plate")


def test_bank_that_tells_defects_less_well_is_not_published_unless_forced(context: JobContext, images: Path) -> None:
    put(images, "plate", 16)
    put(images, "plate", 6, 7, "blob")
    rebuild(context)
    put(images, "plate", 12, 8, "blob")  # their likes are taken for normal
    for path in sorted((images / "defect/plate/blob").glob("8-*")):
        path.rename(images / "normal/plate" / path.name)
    with pytest.raises(InputError, match=r"6 known defects .* with an AUROC of 0\.\d+, the one that answers .* 1\.000"):
        rebuild(context)
    assert bank_generations(context.settings, "plate").token() == "000001"
    assert rebuild(context, force=True)["products"]["plate"]["generation"] == 2


def test_without_known_defects_a_limit_that_moves_away_is_refused(context: JobContext, images: Path) -> None:
    put(images, "plate", 16, 1)
    rebuild(context)
    for path in put(images, "plate", 1, 9, "scratch"):
        path.rename(images / "normal/plate" / path.name)
    with pytest.raises(InputError, match=r"normal ends at \d\.\d\d times the typical distance, .* at \d\.\d\d times"):
        rebuild(context)
    assert rebuild(context, force=True)["products"]["plate"]["generation"] == 2


def test_a_normal_picture_with_a_defect_is_named(context: JobContext, images: Path) -> None:
    put(images, "plate", 16, 2)
    (spoilt,) = put(images, "plate", 1, 9, "blob")
    shutil.copy(spoilt, images / "normal/plate/2-005a.jpg")
    spoilt.unlink()
    progress = Recorder()
    (finding,) = rebuild(context, progress=progress)["findings"]  # a first bank is compared with none
    assert (finding["level"], finding["code"], finding["what"]) == ("note", "outlier", "normal/plate/2-005a.jpg")
    assert "times the typical distance" in finding["why"]
    assert any("differ most: normal/plate/2-005a.jpg (" in line for line in progress.lines)
    shutil.move(images / "normal/plate/2-005a.jpg", images / "1.jpg")
    assert rebuild(context)["findings"] == []
    shutil.move(images / "1.jpg", images / "normal/plate/2-005b.jpg")
    with pytest.raises(InputError) as refused:
        rebuild(context)
    assert "first at normal/plate/2-005b.jpg" in refused.value.remedy
    assert refused.value.remedy.endswith("publish it: xaiva product rebuild plate --force")


def test_region_and_tiles_of_the_product_are_applied(context: JobContext, images: Path) -> None:
    put(images, "plate", 9)
    rebuild(context)
    database = Database(context.settings.database)
    settings = ProductSettings(region=Region(left=0.25, right=0.75, top=0.25, bottom=0.75), tiles=(2, 2))
    ProductStore(database).put("plate", settings)
    database.close()
    result = rebuild(context)["products"]["plate"]
    assert (result["generation"], result["computed"]) == (2, 9)
    assert (bank(context).facts.region, bank(context).facts.tiles) == (settings.region, (2, 2))


def test_damaged_bank_is_replaced(context: JobContext, images: Path) -> None:
    put(images, "plate", 9)
    rebuild(context)
    (bank_generations(context.settings, "plate").open().path / "bank.npz").write_bytes(b"")
    result = rebuild(context)
    assert result["products"]["plate"]["generation"] == 2
    assert [finding["code"] for finding in result["findings"]] == ["broken-bank"]


def test_bank_is_compared_with_the_one_that_answers_while_the_newest_is_damaged(
    context: JobContext, images: Path
) -> None:
    put(images, "plate", 9)
    rebuild(context)
    rebuild(context, force=True)
    (bank_generations(context.settings, "plate").open().path / "bank.npz").write_bytes(b"")
    put(images, "plate", 1, 7, "scratch")
    scratched = images / "normal/plate/scratched.jpg"
    shutil.move(next((images / "defect/plate/scratch").iterdir()), scratched)
    with pytest.raises(InputError, match="normal ends"):
        rebuild(context)
    scratched.unlink()
    result = rebuild(context)
    assert result["products"]["plate"]["generation"] == 3, "the same pictures as in the bank that answers"
    assert "generation 1 answers" in result["findings"][0]["why"]


def test_product_with_more_pictures_than_memory_has_room_for_is_sampled(
    context: JobContext, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank_job, "MAX_NUMBERS", 10 * NUMBERS)
    monkeypatch.setattr(bank_job, "MAX_DEFECTS", 5)
    put(images, "plate", 40)
    put(images, "plate", 40, 7, "scratch")
    rebuild(context)
    read: list[weakref.ref[np.ndarray]] = []
    most = 0
    get = FeatureCache.get

    def counted(cache: FeatureCache, sha256: str) -> Any:
        nonlocal most
        features = get(cache, sha256)
        assert features is not None
        read.append(weakref.ref(features))
        most = max(most, sum(one() is not None for one in read))
        return features

    monkeypatch.setattr(FeatureCache, "get", counted)
    result = rebuild(context, force=True)
    plate = result["products"]["plate"]
    assert (plate["computed"], plate["pictures"], plate["defects"], len(read)) == (0, 10, 5, 95)
    assert most <= 10 + 2  # what the bank is made from, and a defect while the next one is read
    assert [(finding["level"], finding["what"]) for finding in result["findings"]] == [
        ("note", "The memory bank of plate was built from 10 of 40 pictures"),
        ("note", "The memory bank of plate was measured with 5 of 40 known defects"),
    ]


def test_disk_that_takes_no_features_costs_nothing_as_long_as_memory_has_room(
    context: JobContext, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(images, "plate", 12)
    put(images, "plate", 5, 7, "scratch")
    context.settings.inspection_folder.mkdir(parents=True)
    (context.settings.inspection_folder / "features").write_text("no folder")
    result = rebuild(context)
    assert (result["products"]["plate"]["pictures"], result["products"]["plate"]["auroc"]) == (12, 1)
    assert [finding["code"] for finding in result["findings"]] == ["features-not-kept"]
    monkeypatch.setattr(feature_cache, "MAX_HELD", 16 * NUMBERS)
    with pytest.raises(
        XaivaError, match=r"the disk does not take them .*, and memory has room for those of 16 pictures"
    ):
        rebuild(context)


def test_features_that_are_lost_while_a_bank_is_built_are_said(context: JobContext, images: Path) -> None:
    put(images, "plate", 9)
    put(images, "plate", 1, 7, "scratch")
    features = context.settings.inspection_folder / "features"

    def remove(stage: Stage) -> bool:
        if stage.id == "product/plate/held-out":
            shutil.rmtree(features, ignore_errors=True)
        return False

    with pytest.raises(TransientError, match="missing or damaged now"):
        rebuild(context, progress=Recorder(remove))


@pytest.mark.parametrize(
    "where",
    [
        "list",
        "product/plate/fetch",
        "product/plate/features",
        "product/plate/coreset",
        "product/plate/defects",
        "product/plate/compare",
    ],
)
def test_cancelled_rebuild_leaves_the_old_bank_and_nothing_else(context: JobContext, images: Path, where: str) -> None:
    put(images, "plate", 9)
    put(images, "plate", 5, 7, "scratch")
    rebuild(context)
    put(images, "plate", 9, 3)
    progress = Recorder(lambda stage: stage.id == where)
    with pytest.raises(Cancelled):
        rebuild(context, progress=progress)
    folder = bank_generations(context.settings, "plate").folder
    assert sorted(path.name for path in folder.iterdir()) == ["000001", "current", "listed", "lock"]
    assert not any(stage.state is StageState.RUNNING for stage in progress.last().values())
    if where.endswith(("defects", "compare")):
        last = progress.last()[where]
        assert (last.state, last.done, last.total) == (StageState.CANCELLED, 1, 5)
    assert rebuild(context)["products"]["plate"]["pictures"] == 18


def test_storage_that_is_down_is_tried_again_later(
    context: JobContext, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServiceSettings.model_validate(
        context.settings.model_dump() | {"storage_url": "s3://pictures?endpoint=http://127.0.0.1:9"}
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(TransientError) as caught:
        rebuild(JobContext(settings))
    assert isinstance(caught.value, StorageDown)


def test_database_that_is_down_is_tried_again_later(context: JobContext, images: Path) -> None:
    put(images, "plate", 9)
    values = context.settings.model_dump() | {"database_url": "postgresql://x@127.0.0.1:9/x"}
    with pytest.raises(TransientError, match="nothing listens there"):
        rebuild(JobContext(ServiceSettings.model_validate(values)))


def test_bank_is_built_from_a_bucket_and_a_second_run_fetches_nothing(
    context: JobContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "served" / "pictures", "금속 판", 9)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with rclone_s3(tmp_path / "served") as server:
        settings = ServiceSettings.model_validate(
            context.settings.model_dump() | {"storage_url": server.url("pictures")}
        )
        first = rebuild(JobContext(settings))["products"]["금속 판"]
        second = rebuild(JobContext(settings))["products"]["금속 판"]
    assert (first["published"], first["pictures"], first["fetched"], first["computed"]) == (True, 9, 9, 9)
    assert (second["published"], second["fetched"], second["computed"]) == (False, 0, 0)

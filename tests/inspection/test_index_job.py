"""The index job end to end on a folder: what it publishes, what it refuses to publish, and what stays when it fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import Cancelled, InputError, XaivaError
from core.inference.inspection import index_job, rollback_job
from core.inference.inspection.encoder import ImageEncoder, find_encoder
from core.inference.inspection.index_files import LoadedIndex, index_generations, read_index
from core.inference.inspection.indexes import IndexReader
from core.inference.jobs.context import JobContext
from core.inference.jobs.kinds import KINDS, check_request
from core.inference.settings import ServiceSettings
from core.progress import StageState
from tests.inspection.conftest import COLOURS, Recorder, describe_colours, nearest
from tests.inspection.pictures import fill, part, put, scratched
from tests.support.disks import fill as fill_disk
from tests.support.disks import small_disk


def _run(settings: ServiceSettings, subject: str = "normal", progress: Recorder | None = None, **options: Any) -> Any:
    return index_job.run(JobContext(settings), subject, options, progress or Recorder())


def _open(settings: ServiceSettings, subject: str = "normal") -> LoadedIndex:
    return index_generations(settings, subject).load(read_index)


def _state(settings: ServiceSettings) -> set[str]:
    """Everything in the index's folder, and which generation answers."""
    folder = index_generations(settings, "normal").folder
    return {f"{path.relative_to(folder)}" for path in folder.rglob("*")} | {
        index_generations(settings, "normal").token()
    }


def test_a_folder_becomes_an_index_that_names_the_nearest(settings: ServiceSettings, images: Path) -> None:
    fill(images)
    assert _run(settings, "normal")["pictures"] == 12
    assert _run(settings, "defect")["pictures"] == 6
    encoder = ImageEncoder(find_encoder(settings))
    encoder.load()
    vector = encoder.embed([np.asarray(scratched(part("나사", 50), 3))])[0]
    scratches = nearest(IndexReader(settings, "defect"), vector, 2)
    assert {(found.product, found.label) for found in scratches} == {("나사", "scratch")}
    normals = IndexReader(settings, "normal")
    plain = encoder.embed([np.asarray(part("bolt", 50))])[0]
    assert {found.key.split("/")[1] for found in nearest(normals, plain, 5)} == {"bolt"}
    assert {found.product for found in nearest(normals, plain, 50, "나사")} == {"나사"}
    assert len(nearest(normals, plain, 50, "나사")) == 6
    assert nearest(normals, plain, 3, "no such product") == []
    own = encoder.embed([np.asarray(part("bolt", 3))])[0]
    assert nearest(normals, own, 1)[0].key == "normal/bolt/3.jpg"


def test_every_stage_is_reported_with_its_products(settings: ServiceSettings, images: Path) -> None:
    fill(images)
    progress = Recorder()
    result = _run(settings, progress=progress)
    stages = progress.last()
    for name in ("decode", "embed"):
        assert (stages[name].done, stages[name].total) == (12, 12)
        children = {stage.title: stage for stage in stages.values() if stage.parent == name}
        assert {title: (stage.done, stage.total) for title, stage in children.items()} == {
            "bolt": (6, 6),
            "나사": (6, 6),
        }
    order = [name for name in stages if "/" not in name]
    assert order == ["load", "fetch", "decode", "embed", "index", "publish"]
    assert all(stage.state in (StageState.DONE, StageState.CACHED) for stage in stages.values())
    assert {"fetch", "decode", "embed", "index", "publish"} == result["seconds"].keys()
    assert stages["embed"].detail == "cpu"  # where it ran stays in the history


def test_a_second_run_computes_only_what_is_new(settings: ServiceSettings, images: Path) -> None:
    fill(images)
    assert _run(settings)["embedded"] == 12
    first = _open(settings)
    put(images, "normal/bolt/new.jpg", part("bolt", 99))
    put(images, "normal/lid/copy.jpg", (images / "normal/bolt/1.jpg").read_bytes())
    (images / "normal/bolt/0.jpg").unlink()
    result = _run(settings)
    assert (result["pictures"], result["embedded"]) == (13, 1)
    second = _open(settings)
    keys = [entry.key for entry in second.entries]
    assert keys == sorted(keys)
    row, before = keys.index("normal/나사/3.jpg"), [entry.key for entry in first.entries].index("normal/나사/3.jpg")
    assert np.array_equal(second.vectors[row], first.vectors[before])


def test_without_a_change_the_index_stays_and_so_does_the_way_back(colours: ServiceSettings, images: Path) -> None:
    fill(images)
    _run(colours)
    put(images, "normal/bolt/new.jpg", part("bolt", 99))
    _run(colours)
    progress = Recorder()
    result = _run(colours, progress=progress)
    assert (result["generation"], result["pictures"], result["embedded"]) == (2, 13, 0)
    assert progress.last()["publish"].state is StageState.CACHED
    status = IndexReader(colours, "normal").status()
    assert status.current is not None
    assert status.previous is not None
    assert (status.current.number, status.previous.number) == (2, 1)
    assert _run(colours, force=True)["generation"] == 3


def test_files_that_cannot_be_used_are_named_and_the_job_goes_on(colours: ServiceSettings, images: Path) -> None:
    fill(images, count=10)
    whole = (images / "normal/bolt/1.jpg").read_bytes()
    put(images, "normal/bolt/cut.jpg", whole[: len(whole) // 2])
    put(images, "normal/bolt/notes.txt", b"write to the supplier")
    put(images, "normal/loose.jpg", whole)
    put(images, "normal/bolt/.DS_Store", b"left by a desktop")
    result = _run(colours)
    assert result["pictures"] == 20
    assert {finding["what"]: finding["why"] for finding in result["findings"]} == {
        "normal/bolt/cut.jpg": "it is cut off: its end is missing",
        "normal/bolt/notes.txt": "it is not a JPEG, PNG, BMP, WebP or TIFF picture",
        "normal/loose.jpg": "it lies in no folder of a product",
    }
    assert result["findings_total"] == 3


def test_a_picture_that_the_encoder_cannot_tell_is_named_and_the_job_goes_on(
    colours: ServiceSettings, images: Path
) -> None:
    fill(images)
    put(images, "normal/bolt/3 black.jpg", Image.new("RGB", (64, 48)))  # its mean colour has no direction
    progress = Recorder()
    result = _run(colours, progress=progress)
    assert (result["pictures"], result["findings_total"]) == (12, 1)
    assert result["findings"][0]["what"] == "normal/bolt/3 black.jpg"
    assert progress.last()["embed"].done == 13


def test_too_many_unusable_files_fail_the_job_and_name_the_first(colours: ServiceSettings, images: Path) -> None:
    fill(images)
    _run(colours)
    before = _state(colours)
    for number in range(5):
        put(images, f"normal/bolt/bad{number}.jpg", b"not a picture")
    with pytest.raises(InputError) as caught:
        _run(colours)
    assert caught.value.why.startswith(
        "5 of 17 files cannot be used, and 20% are allowed: normal/bolt/bad0.jpg: it is "
    )
    assert "bad2.jpg" in caught.value.why
    assert "bad3.jpg" not in caught.value.why
    assert _state(colours) == before
    assert _run(colours, force=True)["pictures"] == 12
    assert _run(colours.model_copy(update={"jobs_findings": 0.3}))["findings_total"] == 5


@pytest.mark.parametrize("broken", [0, 3])
def test_nothing_to_index_is_a_clean_outcome_and_never_replaces_an_index(
    colours: ServiceSettings, images: Path, broken: int
) -> None:
    lenient = colours.model_copy(update={"jobs_findings": 1.0})
    for number in range(broken):
        put(images, f"normal/bolt/bad{number}.jpg", b"not a picture")
    result = _run(lenient)
    assert (result["generation"], result["pictures"], result["findings_total"]) == (0, 0, broken + 1)
    put(images, "normal/bolt/one.jpg", part("bolt", 1))
    assert _run(lenient)["pictures"] == 1
    (images / "normal/bolt/one.jpg").unlink()
    with pytest.raises(InputError, match="an empty index would replace it"):
        _run(lenient)
    assert len(_open(lenient).entries) == 1
    assert _run(lenient, force=True)["pictures"] == 0
    reader = IndexReader(lenient, "normal")
    assert nearest(reader, np.array([1, 0, 0], np.float32), 3) == []
    assert reader.why == ""


def test_an_index_that_finds_its_like_less_often_is_not_published(colours: ServiceSettings, images: Path) -> None:
    products = ("bolt", "나사", "lid")
    fill(images, products, count=12)
    _run(colours)
    for number in range(0, 12, 2):  # half of the bolts land in the folder of lids, and the other way round
        one, other = (images / f"normal/{product}/{number}.jpg" for product in ("bolt", "lid"))
        swapped = one.read_bytes()
        shutil.copyfile(other, one)
        other.write_bytes(swapped)
    with pytest.raises(InputError) as caught:
        _run(colours)
    assert "% of 36 pictures have a picture of their own product" in caught.value.why
    assert "in the index that answers now it is 100.0%" in caught.value.why
    assert index_generations(colours, "normal").token() == "000001"
    assert _run(colours, force=True)["generation"] == 2


def test_a_product_whose_files_all_broke_is_not_lost(colours: ServiceSettings, images: Path) -> None:
    fill(images, ("bolt",), count=12)
    fill(images, ("lid",), count=2)
    _run(colours)
    for file in (images / "normal/lid").iterdir():
        file.write_bytes(b"broken")
    with pytest.raises(InputError, match="it would lose lid: there are files, but none that can be used") as refused:
        _run(colours)
    assert refused.value.remedy.endswith("publish it all the same: xaiva product rebuild --index normal --force")
    assert len(_open(colours).entries) == 14
    assert _run(colours, force=True)["pictures"] == 12
    fill(images, ("lid",), count=2)
    _run(colours)
    shutil.rmtree(images / "normal/lid")  # taken away on purpose
    assert _run(colours)["pictures"] == 12


def test_an_index_of_less_than_half_the_pictures_is_not_published(colours: ServiceSettings, images: Path) -> None:
    fill(images, ("bolt",), count=9)
    _run(colours)
    for number in range(1, 9):
        (images / f"normal/bolt/{number}.jpg").unlink()
    with pytest.raises(InputError, match="it would have 1 pictures; the index that answers now has 9"):
        _run(colours)
    for number in range(1, 5):
        put(images, f"normal/bolt/{number}.jpg", part("bolt", number))
    assert _run(colours)["pictures"] == 5
    (images / "normal/bolt/1.jpg").unlink()
    assert _run(colours)["pictures"] == 4


def test_a_new_product_is_no_reason_to_refuse_an_index(colours: ServiceSettings, images: Path) -> None:
    fill(images, ("bolt",))
    _run(colours)
    for number in range(6):
        put(images, f"normal/twin/{number}.jpg", part("bolt", 100 + number))
    assert _run(colours)["generation"] == 2


def test_another_encoder_makes_all_vectors_again_and_the_old_index_answers_until_then(
    colours: ServiceSettings, images: Path
) -> None:
    fill(images)
    _run(colours)
    old = _open(colours).encoder
    describe_colours(colours, mean=[0.5, 0.5, 0.5])
    reader = IndexReader(colours, "normal")
    assert "rebuild it" in reader.status(find_encoder(colours)).trouble[0]
    index = reader.current()
    assert index is not None
    assert index.encoder == old
    result = _run(colours)
    assert result["embedded"] == 12
    index = reader.current()
    assert index is not None
    assert index.encoder.sha256 == find_encoder(colours).sha256 != old.sha256
    assert reader.status(find_encoder(colours)).trouble == []


def test_an_encoder_that_is_switched_under_way_mixes_no_vectors(colours: ServiceSettings, images: Path) -> None:
    fill(images, count=250, size=(64, 48))
    before = find_encoder(colours)
    switched: list[float] = []

    def switch(stage: Any) -> bool:
        if stage.id == "embed" and not switched:  # its first report: the encoder is loaded, and 500 pictures follow
            describe_colours(colours, mean=[0.5, 0.5, 0.5])
            switched.append(stage.done)
        return False

    _run(colours, progress=Recorder(switch))
    index = _open(colours)
    assert switched == [0]
    assert index.encoder.sha256 == before.sha256
    assert (index.vectors >= 0).all()  # with the other description, dark channels are negative
    _run(colours)
    assert (_open(colours).vectors < 0).any()


def test_a_cancelled_job_leaves_the_old_index_and_no_file(colours: ServiceSettings, images: Path) -> None:
    fill(images)
    _run(colours)
    before = _state(colours)
    put(images, "normal/bolt/new.jpg", part("bolt", 99))
    for at in ("load", "fetch", "embed", "index", "publish"):
        progress = Recorder(lambda stage, at=at: stage.id == at)
        try:
            _run(colours, progress=progress)
        except Cancelled:
            assert _state(colours) == before
            states = {stage.state for stage in progress.last().values()}
            assert StageState.RUNNING not in states
        else:
            assert at == "publish"  # the pointer is about to move: too late
    assert len(_open(colours).entries) == 13


def test_a_model_that_cannot_be_used_fails_before_anything_is_fetched(colours: ServiceSettings, images: Path) -> None:
    fill(images)
    (colours.models / COLOURS).write_bytes(b"not a model")
    progress = Recorder()
    with pytest.raises(XaivaError, match="not a valid ONNX model"):
        _run(colours, progress=progress)
    assert "fetch" not in progress.last()


def test_what_cannot_be_built_is_refused_before_it_is_queued(colours: ServiceSettings) -> None:
    context = JobContext(colours)
    check_request(KINDS, "index", context, "normal", {"force": True})
    with pytest.raises(InputError, match="its subject is normal or defect"):
        check_request(KINDS, "index", context, "norml", {})
    (colours.models / COLOURS).unlink()
    with pytest.raises(InputError, match="no such file"):
        check_request(KINDS, "index", context, "normal", {})
    with pytest.raises(InputError, match="write normal or defect"):
        _run(colours, "norml")


def test_a_damaged_index_is_replaced_and_the_damage_reported(colours: ServiceSettings, images: Path) -> None:
    fill(images)
    _run(colours)
    (index_generations(colours, "normal").folder / "000001" / "entries.json").write_text("[]")
    result = _run(colours)
    assert result["findings"][0]["code"] == "broken-index"
    assert _open(colours).generation.manifest.number == 2


def test_a_rebuild_is_compared_with_the_index_that_answers_while_the_newest_is_damaged(
    colours: ServiceSettings, images: Path
) -> None:
    fill(images, ("bolt",), count=9)
    for force in (False, True):
        _run(colours, force=force)
    (index_generations(colours, "normal").folder / "000002" / "entries.json").write_text("[]")
    for number in range(1, 9):
        (images / f"normal/bolt/{number}.jpg").unlink()
    with pytest.raises(InputError, match="it would have 1 pictures; the index that answers now has 9"):
        _run(colours)


def test_a_full_disk_at_any_write_keeps_the_old_index(tmp_path: Path, colours: ServiceSettings, images: Path) -> None:
    fill(images)
    with small_disk(tmp_path / "disk", "2m") as disk:
        settings = colours.model_copy(update={"data": disk, "storage_url": f"file://{images}"})
        _run(settings)
        put(images, "normal/bolt/new.jpg", part("bolt", 99))
        failures = 0
        for pages in range(0, 40, 3):
            hog = fill_disk(disk)
            with open(hog, "r+b") as file:
                file.truncate(hog.stat().st_size - 4096 * pages)
            try:
                _run(settings)
            except XaivaError:
                failures += 1
                assert [entry.key for entry in _open(settings).entries if "new" in entry.key] == []
                hog.unlink()
            else:
                break
        assert failures
        hog.unlink()
        assert _run(settings)["pictures"] == 13
        assert len(_open(settings).entries) == 13


def test_rolling_back_is_a_job(colours: ServiceSettings, images: Path) -> None:
    fill(images)
    _run(colours)
    put(images, "normal/bolt/new.jpg", part("bolt", 99))
    _run(colours)
    reader = IndexReader(colours, "normal")
    assert len(nearest(reader, np.array([1, 0, 0], np.float32), 100)) == 13
    result = rollback_job.run(JobContext(colours), "index:normal", {}, Recorder())
    assert (result["generation"], result["left"]) == (1, 2)
    assert len(nearest(reader, np.array([1, 0, 0], np.float32), 100)) == 12
    with pytest.raises(XaivaError, match="no earlier generation"):
        rollback_job.run(JobContext(colours), "index:normal", {}, Recorder())
    with pytest.raises(XaivaError, match=r"^bank:나사: there is no earlier generation"):
        rollback_job.run(JobContext(colours), "bank:나사", {}, Recorder())
    for subject in ("index:other", "bank:", "bolt", ""):
        with pytest.raises(InputError):
            rollback_job.run(JobContext(colours), subject, {}, Recorder())

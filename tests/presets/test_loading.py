"""What a preset file may say, and what is answered when it says something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import InputError
from core.presets import store
from core.presets.validation import PresetError, PresetProblem, validate_text
from core.site import Site

from .conftest import CHECKOUT

USERS_PRESET = """{"metadata": {"description": "Standard Prod Environment"},
   "base_image": "nvidia/cuda:11.8.0-cudnn8-devel-ubuntu22.04", "python_version": "3.10",
   "pytorch": {"version": "2.1.0+cu118", "components": ["torch", "torchvision", "torchaudio"]},
   "tensorrt": {"enabled": true, "version": "8.6.1"},
   "build_options": {"ffmpeg_version": "4.2", "opencv_version": "4.9.0", "xaiva_media_branch": "master"}}
"""
INDEX = {"name": "x", "url": "https://host/simple"}
GOOD = {"base_image": "debian:bookworm-slim", "python_version": "3.11"}


def problems(tmp_path: Path, text: str) -> list[PresetProblem]:
    return validate_text(text, tmp_path / "p.json")


def only(tmp_path: Path, **fields: object) -> PresetProblem:
    results = problems(tmp_path, json.dumps({**GOOD, **fields}, indent=1))
    assert len(results) == 1, [str(problem) for problem in results]
    return results[0]


def test_the_users_preset_loads_unchanged_and_is_the_one_we_ship(site: Site) -> None:
    path = store.save(site, "users", USERS_PRESET)
    assert path.read_text() == USERS_PRESET
    preset = store.load(path)
    assert preset.pytorch is not None
    assert preset.pytorch.tag == "cu118"
    assert preset.tensorrt.version == "8.6.1"
    shipped = store.load(CHECKOUT / "presets" / "ubuntu22.04-cuda11.8.json")
    assert shipped.model_copy(update={"json_schema": None}) == preset


def test_every_problem_of_a_file_is_in_one_message(site: Site) -> None:
    text = """{
  "base_imge": "debian:12",
  "python_version": 3.10,
  "tensorrt": {"enabled": true},
  "layers": [
    {"name": "common", "requirements": ["numpy >= banana"]},
    {"name": "runtime", "file": "../../etc/passwd"}
  ],
  "pins": [],
  "pins": ["numpy"]
}
"""
    path = site.presets / "bad.json"
    path.write_text(text)
    with pytest.raises(PresetError) as caught:
        store.load(path)
    places = [(problem.line, problem.field) for problem in caught.value.problems]
    assert places == [
        (1, "base_image"),
        (2, "base_imge"),
        (3, "python_version"),
        (4, "tensorrt.version"),
        (6, "layers[0].requirements[0]"),
        (7, "layers[1].name"),
        (7, "layers[1].file"),
        (10, "pins"),
        (10, "pins[0]"),
    ]
    message = str(caught.value)
    assert str(path) in message
    assert 'did you mean "base_image"?' in message
    assert 'put it in quotes: "3.10"' in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        ("", 1, "begin with"),
        ("[]", 1, "begin with {"),
        ('{"a": 1,}', 1, "remove the last comma"),
        ('{\n"a": 1\n"b": 2}', 2, "put a comma"),
        ("{'a': 1}", 1, 'use "'),
        ("{\n a: 1}", 2, 'write "a"'),
        ('{"a": True}', 1, "write true"),
        ('{"a": NaN}', 1, "a number"),
        ('{"a": 1.2.3}', 1, '"1.2.3"'),
        ('{"a": 1} // x', 1, "remove it"),
        ('{ // x\n"a": 1}', 1, "metadata.description"),
        ('{"a": "x', 1, 'close it with "'),
        ('{"a": [1, 2', 1, "close it with ]"),
        ('{"a" 1}', 1, '"a": value'),
        ('{"a": "\\q"}', 1, "\\\\"),
        ('{"a": "\\ud800"}', 1, "remove that escape"),
        ("[" * 100_000, 1, "five levels deep"),
    ],
)
def test_text_that_is_not_json(tmp_path: Path, text: str, line: int, remedy: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.line == line
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"metadata": {"tagz": []}}, "metadata.tagz", 'did you mean "tags"?'),
        ({"pytorch": {"version": "2.1", "components": ["torchvison"]}}, "pytorch.components[0]", '"torchvision"'),
        ({"pytorch": {"version": "two"}}, "pytorch.version", "not a version"),
        ({"pytorch": {}}, "pytorch.version", "2.7.1+cu126"),
        ({"pins": "numpy<2"}, "pins", '["numpy<2"]'),
        ({"pins": ["numpy"]}, "pins[0]", "pins nothing"),
        ({"pins": ["numpy<2", "NumPy>1"]}, "pins[1]", "is already "),
        ({"pins": ["-r other.txt"]}, "pins[0]", "option of pip"),
        ({"inference_service": "yes"}, "inference_service", "without quotes"),
        ({"target": {"vram_gib": "6"}}, "target.vram_gib", "without quotes"),
        ({"target": {"vram_gib": 0}}, "target.vram_gib", "greater than 0"),
        ({"target": {"driver": "new"}}, "target.driver", "535.183.01"),
        ({"layers": [{"name": "a"}]}, "layers[0]", "neither"),
        ({"layers": [{"name": "a", "requirements": ["x"], "file": "x.txt"}]}, "layers[0]", "both"),
        ({"layers": [{"name": "a", "requirements": ["x"]}] * 2}, "layers[1].name", "is already "),
        ({"layers": [{"name": "service", "requirements": ["x"]}]}, "layers[0].name", "service-extra"),
        ({"layers": [{"name": "smoke", "requirements": ["x"]}]}, "layers[0].name", "smoke-extra"),
        ({"layers": [{"name": "Speech", "requirements": ["x"]}]}, "layers[0].name", "small letter"),
        ({"layers": [{"name": "a", "file": "../x.txt"}]}, "layers[0].file", "outside the presets folder"),
        ({"layers": [{"name": "a", "file": "/etc/passwd"}]}, "layers[0].file", "outside the presets folder"),
        ({"layers": [{"name": "a", "file": "none.txt"}]}, "layers[0].file", "No such file"),
        ({"layers": [{"name": "a", "requirements": ["-r x.txt"]}]}, "layers[0].requirements[0]", "layers"),
        ({"layers": [{"name": "a\n", "requirements": ["x"]}]}, "layers[0].name", "small letter"),
        ({"target": {"driver": "535.1\n"}}, "target.driver", "535.183.01"),
        ({"debs": ["Bad_Name"]}, "debs[0]", "Debian package"),
        ({"indexes": [{"name": "x", "url": "https://me:token@host/simple"}]}, "indexes[0].url", "token_variable"),
        ({"indexes": [{"name": "x", "url": "ftp://host"}]}, "indexes[0].url", "https://host/path"),
        ({"indexes": [{**INDEX, "packages": ["six==1.0"]}]}, "indexes[0].packages[0]", "write the name alone"),
        ({"indexes": [{**INDEX, "packages": ["ok", ""]}]}, "indexes[0].packages[1]", "write the name alone"),
        ({"indexes": [{**INDEX, "packages": ["a b"]}]}, "indexes[0].packages[0]", "write the name alone"),
        ({"indexes": [{**INDEX, "packages": "six"}]}, "indexes[0].packages", '["six"]'),
        ({"indexes": [{**INDEX, "packages": ["a_b", "A-B"]}]}, "indexes[0].packages[1]", "one index, once"),
        (
            {"indexes": [{**INDEX, "packages": ["six"]}, {**INDEX, "name": "y", "packages": ["Six"]}]},
            "indexes[1].packages[0]",
            "one index, once",
        ),
        ({"sources": [{"name": "ffmpeg"}]}, "sources[0]", "exactly one"),
        ({"sources": [{"name": "f", "url": "https://h/f.tar", "path": "f"}]}, "sources[0]", "exactly one"),
        ({"sources": [{"name": "f", "url": "https://h/f.tar"}]}, "sources[0].url", "sha256sum"),
        ({"sources": [{"name": "f", "git": "https://h/f.git"}]}, "sources[0].git", "ref"),
        ({"sources": [{"name": "f", "path": "a"}, {"name": "f", "path": "b"}]}, "sources[1].name", "is already "),
        ({"run": {"ports": ["8600"]}}, "run.ports[0]", '"8600:8600"'),
        ({"run": {"ports": ["8600:99999"]}}, "run.ports[0]", "65535"),
        ({"run": {"ports": ["80:80", "80:81"]}}, "run.ports[1]", "is already "),
        ({"run": {"volumes": ["../x:/data"]}}, "run.volumes[0]", "./data"),
        ({"run": {"volumes": ["./a/../../x:/data"]}}, "run.volumes[0]", "absolute path instead"),
        ({"run": {"volumes": ["./data:data"]}}, "run.volumes[0]", '"/data"'),
        ({"run": {"volumes": ["./data:/data:ro,"]}}, "run.volumes[0]", ":ro"),
        ({"run": {"volumes": ["./a:/data", "./b:/data"]}}, "run.volumes[1]", "is already "),
        ({"run": {"shm_size": "lots"}}, "run.shm_size", "512m"),
        ({"run": {"gpus": "first"}}, "run.gpus", "all"),
        ({"run": {"restart": "allways"}}, "run.restart", 'did you mean "always"?'),
        ({"run": {"environment": {"A B": "x"}}}, "run.environment.A B", "name of a variable"),
        ({"run": {"environment": {"A": 1}}}, "run.environment.A", "in quotes"),
        ({"run": {"health_check": {"command": []}}}, "run.health_check.command", "at least one"),
        ({"build_options": {"ffmpeg_configure": ["--x; reboot"]}}, "build_options.ffmpeg_configure[0]", "--enable-gpl"),
        ({"build_options": {"opencv_cmake": ["-DX=a;$(reboot)"]}}, "build_options.opencv_cmake[0]", "-DWITH_CUDA=ON"),
        ({"build_options": {"opencv_cmake": ["-DX=a;'b"]}}, "build_options.opencv_cmake[0]", "-DWITH_CUDA=ON"),
        ({"build_options": {"opencv_cmake": ["WITH_CUDA=ON"]}}, "build_options.opencv_cmake[0]", "-DWITH_CUDA=ON"),
        ({"build_options": {"xaiva_media_branch": "-x"}}, "build_options.xaiva_media_branch", "branch, tag or commit"),
        ({"overrides": ["Torch Tag"]}, "overrides[0]", "code"),
        (
            {"build_options": {"nv_codec_headers_version": "12.1.14"}},
            "build_options.nv_codec_headers_version",
            "all four numbers",
        ),
    ],
)
def test_wrong_fields(tmp_path: Path, fields: dict[str, object], field: str, said: str) -> None:
    problem = only(tmp_path, **fields)
    assert problem.field == field
    assert said in f"{problem.what} {problem.remedy}"
    assert problem.line > 1


@pytest.mark.parametrize(
    ("fields", "user"),
    [
        ({}, "the inference service"),
        ({"inference_service": False, "layers": [{"name": "a", "requirements": ["idna"]}]}, "a layer"),
        ({"inference_service": False, "pytorch": {"version": "2.2.2"}}, "pytorch"),
        ({"inference_service": False, "build_options": {"opencv_version": "4.9.0"}}, "OpenCV"),
    ],
)
def test_only_an_image_that_needs_no_python_goes_without(tmp_path: Path, fields: dict[str, object], user: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"base_image": "debian:bookworm-slim", **fields}))
    with pytest.raises(store.PresetError, match=f"python_version: is missing, and {user} needs Python") as caught:
        store.load(path)
    assert ('"inference_service": false' in caught.value.remedy) == (user == "the inference service")
    path.write_text(json.dumps({"base_image": "debian:bookworm-slim", "inference_service": False}))
    assert store.load(path).python_version == ""


@pytest.mark.parametrize(
    ("destination", "good"),
    [
        ("/models/a.onnx", True),
        ("/models/sub/a.onnx", True),
        ("/models", False),
        ("/models/../etc/passwd", False),
        ("/etc/a.onnx", False),
        ("a.onnx", False),
        ('/models/a".onnx', False),
        ("/models/$HOME.onnx", False),
    ],
)
def test_models_lie_under_models(tmp_path: Path, destination: str, good: bool) -> None:
    model = {"name": "m", "file": "m.onnx", "sha256": "0" * 64, "destination": destination}
    results = problems(tmp_path, json.dumps({**GOOD, "models": [model]}))
    assert [problem.field for problem in results] == ([] if good else ["models[0].destination"])


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("debian:bookworm-slim", ""),
        ("nvidia/cuda:12.6.3-cudnn-devel-ubuntu22.04", ""),
        ("registry.example.org:5000/team/base_x/y:1.0@sha256:" + "a" * 64, ""),
        ("localhost:5000/debian", ""),
        ("debian; rm -rf /", "';'"),
        ("debian$(reboot)", "'$'"),
        ("debian\nRUN reboot", "'\\n'"),
        ("Debian:12", '"debian:12"'),
        ("debian:", "not an image name"),
        ("-debian", "not an image name"),
        ("../debian", "not an image name"),
    ],
)
def test_image_names(tmp_path: Path, image: str, said: str) -> None:
    results = problems(tmp_path, json.dumps({**GOOD, "base_image": image}))
    assert bool(results) == bool(said)
    if said:
        assert said in str(results[0])


def test_a_bad_line_of_a_requirement_file_is_named_with_its_number(site: Site) -> None:
    (site.presets / "common.txt").write_text("# ours\nnumpy<2  # old\n\nnumpy=1.26\n")
    layers = [{"name": "common", "file": "common.txt"}]
    (problem,) = problems(site.presets, json.dumps({**GOOD, "layers": layers}, indent=1))
    assert "common.txt line 4" in problem.what
    assert "numpy==1.26" in problem.remedy
    assert problem.field == "layers[0].file"


def test_a_requirement_file_that_is_a_link_out_of_the_folder_is_refused(site: Site) -> None:
    (site.root / "outside.txt").write_text("numpy\n")
    (site.presets / "in.txt").symlink_to(site.root / "outside.txt")
    (problem,) = problems(site.presets, json.dumps({**GOOD, "layers": [{"name": "a", "file": "in.txt"}]}))
    assert "outside the presets folder" in problem.what


def test_one_broken_preset_stops_no_other(site: Site) -> None:
    store.save(site, "good", json.dumps(GOOD))
    (site.presets / "bad.json").write_text("{")
    (site.presets / "Bad Name.json").write_text(json.dumps(GOOD))
    (site.presets / "binary.json").write_bytes(b'{\n"a": "\xff"}')
    (site.presets / "folder.json").mkdir()
    (site.presets / "preset.schema.json").write_text("{}")
    (site.presets / "gone.json").symlink_to("nowhere.json")
    entries = {entry.name: entry for entry in store.list_presets(site)}
    assert sorted(entries) == ["Bad Name", "bad", "binary", "folder", "gone", "good"]
    assert [name for name, entry in entries.items() if entry.preset] == ["good"]
    assert all(isinstance(entry.error, InputError) for name, entry in entries.items() if name != "good")
    assert "line 2" in str(entries["binary"].error)


def test_an_unknown_preset_names_those_that_are_there(site: Site) -> None:
    store.save(site, "one", json.dumps(GOOD))
    with pytest.raises(InputError, match="presets here: one"):
        store.load_named(site, "two")
    with pytest.raises(InputError, match="name"):
        store.load_named(site, "../one")

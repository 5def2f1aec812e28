"""Kind: a requirement file that pip or uv reads is refused, or is read as something else than what is locked.

It applies wherever a layer is read: from its file and those that it names, inline in the preset, by the check, the
lock, `xaiva wheel` and the hash of a preset. What cannot go offline is a finding with its line and the way that works.
Locks of such files are in `test_locked_requirement_files.py`, remedies in `test_requirement_file_remedies.py`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from core.presets.index_entries import PYTORCH_INDEX
from core.presets.layer_file import read_layer_file
from core.presets.model import Preset
from core.presets.store import preset_sha256
from core.site import Site
from tests.support.requirement_files import FILE, findings, preset_text, read, write

WHEEL = "https://files.example.org/six-1.16.0-py2.py3-none-any.whl"
SHA = "ab" * 32
CUDA = PYTORCH_INDEX.format(tag="cu118")
STABLE = PYTORCH_INDEX.format(tag="torch_stable.html")
PLAIN = ["numpy==1.26.4", "tqdm"]


# A file's body, what an index is asked for, and the findings: line (0 for none), code and words of the remedy.
BODIES: dict[str, tuple[Any, ...]] = {
    # how the text is written
    "comments and blanks": ("# vision\n\nnumpy==1.26.4  # the last of 1\n  tqdm\n\n", PLAIN),
    "no newline at the end": ("numpy==1.26.4\ntqdm", PLAIN),
    "UTF-8 mark": (b"\xef\xbb\xbfnumpy==1.26.4\ntqdm\n", PLAIN),
    "UTF-16 of PowerShell": ("\ufeffnumpy==1.26.4\r\ntqdm\r\n".encode("utf-16-le"), PLAIN),
    "UTF-16 big-endian": ("\ufeffnumpy==1.26.4\ntqdm\n".encode("utf-16-be"), PLAIN),
    "UTF-32": ("\ufeffnumpy==1.26.4\ntqdm\n".encode("utf-32-le"), PLAIN),
    "Windows lines": (b"numpy==1.26.4\r\ntqdm\r\n", PLAIN),
    "old Macintosh lines": (b"numpy==1.26.4\rtqdm\r", PLAIN),
    "a coding line": ("# -*- coding: gbk -*-\n# \u89c6\u9891\nnumpy==1.26.4\ntqdm\n".encode("gbk"), PLAIN),
    "Latin-1 in a comment": ("# pr\u00e9-traitement\nnumpy==1.26.4\ntqdm\n".encode("latin-1"), PLAIN),
    "continued lines": ("numpy \\\n  ==1.26.4\ntqdm \\\n\n", ["numpy   ==1.26.4", "tqdm"]),
    "a comment after a continuation": ("numpy==1.26.4 \\\n  # why\ntqdm\n", PLAIN),
    "a backslash in a comment": ("# see a\\\nnumpy==1.26.4\ntqdm\n", PLAIN),
    "a backslash at the end": ("numpy==1.26.4\ntqdm \\", PLAIN),
    "tabs": ("numpy==1.26.4\t# pinned\n\ttqdm\t\n", PLAIN),
    "an empty file": ("", [], "0 layer-empty: "),
    "comments only": ("# numpy\n#tqdm\n", [], "0 layer-empty: "),
    # how versions and names are written
    "capitals and underscores": ("PyYAML>=5.3\nopencv_python_headless\n", ["PyYAML>=5.3", "opencv_python_headless"]),
    "blanks around the operator": ("ray >= 2.9\ntorch == 2.3.1\n", ["ray >= 2.9", "torch == 2.3.1"]),
    "extras": (
        "uvicorn[standard]\ndiffusers[ torch , training ]>=0.20\n",
        ["uvicorn[standard]", "diffusers[ torch , training ]>=0.20"],
    ),
    "wildcards": ("peft==0.5.*\naccelerate!=0.21.*\n", ["peft==0.5.*", "accelerate!=0.21.*"]),
    "compatible and exact": ("scipy~=1.10\nlibrosa===0.9.2\n", ["scipy~=1.10", "librosa===0.9.2"]),
    "a range with a comment": ("timm>=0.6,<2 # not 2\n", ["timm>=0.6,<2"]),
    "a range in brackets": ("numpy (>=1.24,<2)\n", ["numpy (>=1.24,<2)"]),
    "the same line twice": ("torchvision\nclean-fid\ntorchvision\n", ["torchvision", "clean-fid", "torchvision"]),
    "markers": (
        "deepspeed==0.15.1; sys_platform == 'linux'\ntriton-windows; sys_platform=='win32'\n",
        ["deepspeed==0.15.1; sys_platform == 'linux'", "triton-windows; sys_platform=='win32'"],
    ),
    "a comma at the end": ("transformers>=4.30,\n", ["transformers>=4.30,"]),
    # indexes
    "an extra index": (f"--extra-index-url {CUDA}\ntorch==2.1.0\n", ["torch==2.1.0"], f"1 layer-index: {CUDA}"),
    "an extra index with =": (f"--extra-index-url={CUDA}\ntqdm\n", ["tqdm"], '1 layer-index: "torch"'),
    "an index": ("--index-url https://w.example.org/simple\ntqdm\n", ["tqdm"], "1 layer-index: w-example-org"),
    "a short index": ("-i https://w.example.org/simple/\ntqdm\n", ["tqdm"], "1 layer-index: ours-*"),
    "an index without a blank": ("-ihttps://w.example.org/simple\ntqdm\n", ["tqdm"], "1 layer-index: indexes"),
    "two indexes with a comment": (
        f"--extra-index-url {CUDA}\n--extra-index-url https://w.example.org/ort/ # issue 21684\nconformer\n",
        ["conformer"],
        f"1 layer-index: {CUDA}",
        "2 layer-index: https://w.example.org/ort",
    ),
    "an index behind a requirement": (
        f"torch==2.0.1+cu118 --extra-index-url {CUDA}\n",
        ["torch==2.0.1+cu118"],
        f"1 layer-index: {CUDA}",
        f"0 index-missing: {CUDA}",
    ),
    "a page of links with tags": (
        f"-f {STABLE}\ntorch===1.7.1+cu110\n",
        ["torch===1.7.1+cu110"],
        f"1 layer-index: {PYTORCH_INDEX.format(tag='cu110')}",
        f"0 index-missing: {PYTORCH_INDEX.format(tag='cu110')}",
    ),
    "a page of links of one tag": (
        f"--find-links {PYTORCH_INDEX.format(tag='cu111')}/torch_stable.html\ntqdm\n",
        ["tqdm"],
        f"1 layer-index: {PYTORCH_INDEX.format(tag='cu111')}",
    ),
    "a page of links elsewhere": (
        "-f https://w.example.org/torch-2.1.0+cu118.html\ntorch-scatter\n",
        ["torch-scatter"],
        "1 layer-index: artifacts/site/local-wheels",
    ),
    "a folder of wheels": (
        "--find-links ./wheels\n--no-index\ntqdm\n",
        ["tqdm"],
        "1 layer-index: local-wheels",
        "2 layer-option: local-wheels",
    ),
    "an index with a login": (
        "--extra-index-url https://__token__:${GITLAB_TOKEN}@g.example.org/simple\nours\n",
        ["ours"],
        '1 layer-index: "token_variable": "GITLAB_TOKEN"',
    ),
    "a tag without an index": (
        "torch==1.12.1+cu102\ntorchvision==0.13.1+cu102\n",
        ["torch==1.12.1+cu102", "torchvision==0.13.1+cu102"],
        f"0 index-missing: {PYTORCH_INDEX.format(tag='cu102')}",
    ),
    "the CPU's build": (
        "torch==2.1.0+cpu\n",
        ["torch==2.1.0+cpu"],
        f"0 index-missing: {PYTORCH_INDEX.format(tag='cpu')}",
    ),
    # other options
    "pre-releases": ("--pre\ntorch\n", ["torch"], "1 layer-option: >=2.6.0.dev0"),
    "options that change nothing": (
        "--prefer-binary\n--only-binary=:all:\n--use-feature=fast-deps\ntqdm\n",
        ["tqdm"],
        "1 layer-option: ",
        "2 layer-option: ",
        "3 layer-option: ",
    ),
    "no binary": ("--no-binary av\nav\n", ["av"], "1 layer-option: pip wheel --no-deps --no-binary av"),
    "a trusted host": ("--trusted-host w.example.org\ntqdm\n", ["tqdm"], "1 layer-option: SSL_CERT_FILE"),
    "options of a build": (
        'apex==0.1 --global-option="--cuda_ext" --config-settings=--build-option=x\n',
        ["apex==0.1"],
        "1 layer-option: ",
        "1 layer-option: ",
    ),
    "hashes": (
        f"--require-hashes\nsix==1.16.0 \\\n    --hash=sha256:{SHA} \\\n    --hash=sha256:{'cd' * 32}\n",
        ["six==1.16.0"],
        "1 layer-option: ",
    ),
    # addresses
    "git with a name": (
        "tqdm\nunsloth_zoo @ git+https://github.com/unslothai/unsloth-zoo.git@8b312c0\n",
        ["tqdm"],
        "2 layer-source: xaiva wheel site unsloth-zoo",
    ),
    "git for another system": ("x @ git+https://github.com/a/x ; sys_platform == 'win32'\ntqdm\n", ["tqdm"]),
    "the project itself": ("-e .\ntqdm\n", ["tqdm"], "1 layer-source: FOLDER (where . is)"),
    "a wheel's address": (f"{WHEEL}\n", [f"six @ {WHEEL}"]),
    "a wheel's address with its hash": (f"{WHEEL}#sha256={SHA}\n", [f"six @ {WHEEL}"]),
    "a wheel's address and a marker": (
        f'{WHEEL}; platform_system == "Linux" and platform_machine == "x86_64"\n',
        [f'six @ {WHEEL} ; platform_system == "Linux" and platform_machine == "x86_64"'],
    ),
    "no blank before the marker": (
        f"six @ {WHEEL}; python_version<'3.11'\n",
        [f'six @ {WHEEL} ; python_version < "3.11"'],
    ),
    "no blanks at all": (f"six@{WHEEL};python_version<'3.11'\n", [f'six @ {WHEEL} ; python_version < "3.11"']),
    "an address of a constraint": ("-c limits.txt\ntqdm\n", ["tqdm"], "0 layer-option: write this line"),
    "conda's freeze": (
        "absl-py==2.0.0\ncertifi @ file:///croot/certifi_1671487769961/certifi\n"
        "win-inet-pton @ file:///D:/bld/win_inet_pton_1667051142467/work\n",
        ["absl-py==2.0.0"],
        "0 layer-source: NAME==VERSION",
    ),
    "a variable": ("six==${SIX_VERSION}\ntqdm\n", ["tqdm"], "1 layer-source: in place of ${SIX_VERSION}"),
    "a file on the web": (
        "-r https://h.example.org/base.txt\ntqdm\n",
        ["tqdm"],
        "1 layer-source: curl -fL -o base.txt https://h.example.org/base.txt",
    ),
}


# Lines that no lock can use: the line, and words of the remedy.
SOURCES = {
    "git without a name": (
        "git+https://h.example.org/CLIP.git",
        "xaiva wheel site git+https://h.example.org/CLIP.git; then lock again",
    ),
    "git with egg": ("git+https://h.example.org/detectron2.git@v0.6#egg=detectron2", "xaiva wheel site detectron2"),
    "git in a folder": (
        "pycocotools @ git+https://h.example.org/cocoapi.git@main#subdirectory=PythonAPI",
        "xaiva wheel site pycocotools",
    ),
    "git by ssh": ("git+ssh://git@git.example.org/vision/ours.git#egg=ours", 'local-wheels "git+ssh://'),
    "hg": ("hg+https://h.example.org/ours#egg=ours", "pip wheel --no-deps"),
    "an editable repository": (
        "-e git+https://h.example.org/audiocraft@0c75a46#egg=audiocraft",
        "xaiva wheel site audiocraft",
    ),
    "an editable subdirectory": ("-e git+https://h.example.org/b.git#egg=b&subdirectory=x", "xaiva wheel site b;"),
    "the project with extras": (".[dev]", "pip wheel --no-deps"),
    "a folder": ("./third_party/Matcha-TTS", "the name of that wheel"),
    "a wheel beside it": ("./six-1.16.0-py2.py3-none-any.whl", "copy that wheel"),
    "a wheel behind a login": ("https://${TOKEN}@h.example.org/ours-1.0-py3-none-any.whl", "local-wheels"),
    "no version in its name": (
        "https://h.example.org/main/en_core_web_lg-any-py3-none-any.whl",
        "as NAME-VERSION-py3-none-any.whl",
    ),
    "a path with a name": ("ours @ ./ours-1.0-py3-none-any.whl", "copy that wheel"),
    "an editable folder with extras": ("-e ./third_party/x[cuda]", "third_party/x"),
    "a folder without a dot": ("third_party/x", "third_party/x"),
    "git as ssh writes it": ("-e git+git@h.example.org:a/DPR.git#egg=DPR", "git+ssh://git@h.example.org/a/DPR.git"),
    "git with a token": (
        "git+https://${GITHUB_TOKEN}@h.example.org/a/ours.git#egg=ours",
        '"git+https://${GITHUB_TOKEN}@h.example.org/a/ours.git"',
    ),
    "an editable git:// repository": ("-e git://h.example.org/ours.git#egg=ours", '"git+git://h.example.org/ours.git"'),
    "ssh with a colon": ("git+ssh://git@h.example.org:a/ours.git", '"git+ssh://git@h.example.org/a/ours.git"'),
    "a path with a fragment": ("third_party/x#egg=x", "where third_party/x is"),
    "a wheel on a drive": ("C:\\wheels\\six-1.16.0-py2.py3-none-any.whl", "copy that wheel into artifacts"),
    "a folder on a drive": ("-e C:/projects/ours", "FOLDER (where C:/projects/ours is)"),
    "a folder of Windows": ("-e c:\\work\\ours", "FOLDER (where c:\\work\\ours is)"),
    "file: without slashes": ("file:./libs/x", "pip wheel --no-deps"),
    "a blank in a path": ("-e ./my\\ folder", "FOLDER (where ./my folder is)"),
    "git with a tag": (
        "git+https://h.example.org/ours.git@v1.2#subdirectory=a/b",
        "xaiva wheel site 'git+https://h.example.org/ours.git@v1.2#subdirectory=a/b'; then",
    ),
    "a source archive": (
        "https://h.example.org/ours-1.0.tar.gz",
        "xaiva wheel site https://h.example.org/ours-1.0.tar.gz; then lock again",
    ),
    "an archive": (
        "https://h.example.org/kenlm/archive/master.zip",
        "xaiva wheel site https://h.example.org/kenlm/archive/master.zip; then",
    ),
    "an archive with a name": ("kenlm @ https://h.example.org/kenlm/archive/master.zip", "xaiva wheel site kenlm"),
}
BODIES |= {name: (f"{line}\n", [], f"1 layer-source: {words}") for name, (line, words) in SOURCES.items()}


@pytest.mark.parametrize("name", BODIES)
def test_a_file_that_pip_or_uv_reads_is_read(site: Site, name: str) -> None:
    body, requirements, *expected = BODIES[name]
    write(site, "x @ git+https://h.example.org/x\n", "layers/limits.txt")
    layer = read(site, body)
    assert not layer.problems
    assert layer.requirements == requirements
    results = findings(site)
    assert len(results) == len(expected), results
    for text in expected:
        line, code, words = re.split(r":? ", text, maxsplit=2)
        place = "" if line == "0" else f"{FILE} line {line}"
        matching = [finding for finding in results if finding.code == code and place in finding.what]
        assert any(words in finding.remedy for finding in matching), (words, results)


# Files that files name: their texts; what is asked for, what constrains it; or words of the one problem.
INCLUDED: dict[str, tuple[dict[str, str], list[str], list[str], str]] = {
    "beside it": ({FILE: "-r base.txt\ntqdm", "layers/base.txt": "numpy"}, ["numpy", "tqdm"], [], ""),
    "the long name": ({FILE: "--requirement=base.txt", "layers/base.txt": "numpy"}, ["numpy"], [], ""),
    "no blank": ({FILE: "-rbase.txt", "layers/base.txt": "numpy"}, ["numpy"], [], ""),
    "nested, each relative to its file": (
        {FILE: "-r common/all.txt", "layers/common/all.txt": "-r one.txt", "layers/common/one.txt": "numpy"},
        ["numpy"],
        [],
        "",
    ),
    "above it": ({FILE: "-r ../base.txt", "base.txt": "numpy"}, ["numpy"], [], ""),
    "constraints": (
        {FILE: "-c limits.txt\nnumpy", "layers/limits.txt": "numpy<2\nscipy==1.10"},
        ["numpy"],
        ["numpy<2", "scipy==1.10"],
        "",
    ),
    "a wheel as a constraint": (
        {FILE: "-c limits.txt\nsix", "layers/limits.txt": f"{WHEEL}\nx @ git+https://h.example.org/x"},
        ["six"],
        [f"six @ {WHEEL}"],
        "",
    ),
    "constraints that name a file": (
        {FILE: "--constraint limits.txt\nnumpy", "layers/limits.txt": "-r more.txt", "layers/more.txt": "numpy<2"},
        ["numpy"],
        ["numpy<2"],
        "",
    ),
    "twice": ({FILE: "-r a.txt\n-r a.txt", "layers/a.txt": "numpy"}, ["numpy", "numpy"], [], ""),
    "a circle": ({FILE: "-r a.txt", "layers/a.txt": "numpy\n-r model.txt"}, ["numpy"], [], "layers/a.txt line 2"),
    "missing": ({FILE: "numpy\n-r none.txt"}, ["numpy"], [], f"{FILE} line 2"),
    "out of the folder": ({FILE: "-r ../../secret.txt"}, [], [], "outside the presets folder"),
    "a bad line in it": ({FILE: "-r a.txt", "layers/a.txt": "\nnumpy=1"}, [], [], "layers/a.txt line 2"),
}


@pytest.mark.parametrize(("files", "asked", "limits", "problem"), INCLUDED.values(), ids=INCLUDED)
def test_files_that_a_file_names(
    site: Site, files: dict[str, str], asked: list[str], limits: list[str], problem: str
) -> None:
    for name, body in files.items():
        write(site, body, name)
    layer = read_layer_file(site.presets, FILE)
    assert (layer.requirements, layer.constraints) == (asked, limits)
    assert [problem in what for what, _ in layer.problems] == ([True] if problem else [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("six", "six --hash=sha256:" + SHA),
        ("six", "six\nx @ git+https://h.example.org/x"),
        ("six\nx @ git+https://h.example.org/x@1", "six\nx @ git+https://h.example.org/x@2"),
        ("six", "-c limits.txt\nsix"),
    ],
)
def test_what_changes_the_image_changes_the_presets_hash(site: Site, before: str, after: str) -> None:
    write(site, "six<2", "layers/limits.txt")
    preset = Preset.model_validate(json.loads(preset_text()))
    hashes = []
    for body in (before, after, f"# a comment\n{after}"):
        write(site, body)
        hashes.append(preset_sha256(preset, site.presets))
    assert hashes[0] != hashes[1] == hashes[2]

"""Kind: a requirement file that pip or uv reads is refused, or is read as something else than what is locked.

It applies wherever a layer is read: from its file and those that it names, inline in the preset, by the check, the
lock, `xaiva wheel` and the hash of a preset. What cannot go offline is a finding with its line and the way that works.
Locks of such files are in `test_locked_requirement_files.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from textual.events import Paste
from textual.widgets import Input

from core.artifacts import build_wheel
from core.artifacts.lock_check import check_preset
from core.cli.app import root
from core.errors import InputError
from core.findings import Finding
from core.presets.from_requirements import create_from_requirements
from core.presets.index_entries import PYTORCH_INDEX, PYTORCH_PACKAGES
from core.presets.layer_file import read_layer_file
from core.presets.model import Preset
from core.presets.requirement_text import UnreadableLine, parse_line
from core.presets.store import load_named, preset_sha256, read_layer
from core.presets.validation import validate_text
from core.site import Site
from tests.support.requirement_files import FILE, NAME, preset_text, read, write
from tests.tui.support import until
from tui.app import XaivaApp
from tui.screens.editor import EditorScreen

WHEEL = "https://files.example.org/six-1.16.0-py2.py3-none-any.whl"
SHA = "ab" * 32
CUDA = PYTORCH_INDEX.format(tag="cu118")
STABLE = PYTORCH_INDEX.format(tag="torch_stable.html")
PLAIN = ["numpy==1.26.4", "tqdm"]


def findings(site: Site, **fields: object) -> list[Finding]:
    """What the check says of the layer's file."""
    (site.presets / f"{NAME}.json").write_text(preset_text(**fields))
    everything = check_preset(site, NAME, load_named(site, NAME))
    return [finding for finding in everything if finding.code.startswith("layer-") or finding.code == "index-missing"]


# A file's body; what an index is asked for; and of each finding: its line, its code, and words of its remedy.
Expected = tuple[int, str, str]
BODIES: dict[str, tuple[str | bytes, list[str], list[Expected]]] = {
    # how the text is written
    "comments and blanks": ("# vision\n\nnumpy==1.26.4  # the last of 1\n  tqdm\n\n", PLAIN, []),
    "no newline at the end": ("numpy==1.26.4\ntqdm", PLAIN, []),
    "UTF-8 mark": (b"\xef\xbb\xbfnumpy==1.26.4\ntqdm\n", PLAIN, []),
    "UTF-16 of PowerShell": ("\ufeffnumpy==1.26.4\r\ntqdm\r\n".encode("utf-16-le"), PLAIN, []),
    "UTF-16 big-endian": ("\ufeffnumpy==1.26.4\ntqdm\n".encode("utf-16-be"), PLAIN, []),
    "UTF-32": ("\ufeffnumpy==1.26.4\ntqdm\n".encode("utf-32-le"), PLAIN, []),
    "Windows lines": (b"numpy==1.26.4\r\ntqdm\r\n", PLAIN, []),
    "old Macintosh lines": (b"numpy==1.26.4\rtqdm\r", PLAIN, []),
    "a coding line": ("# -*- coding: gbk -*-\n# \u89c6\u9891\nnumpy==1.26.4\ntqdm\n".encode("gbk"), PLAIN, []),
    "Latin-1 in a comment": ("# pr\u00e9-traitement\nnumpy==1.26.4\ntqdm\n".encode("latin-1"), PLAIN, []),
    "continued lines": ("numpy \\\n  ==1.26.4\ntqdm \\\n\n", ["numpy   ==1.26.4", "tqdm"], []),
    "a comment after a continuation": ("numpy==1.26.4 \\\n  # why\ntqdm\n", PLAIN, []),
    "a backslash in a comment": ("# see a\\\nnumpy==1.26.4\ntqdm\n", PLAIN, []),
    "a backslash at the end": ("numpy==1.26.4\ntqdm \\", PLAIN, []),
    "tabs": ("numpy==1.26.4\t# pinned\n\ttqdm\t\n", PLAIN, []),
    "an empty file": ("", [], [(0, "layer-empty", "")]),
    "comments only": ("# numpy\n#tqdm\n", [], [(0, "layer-empty", "")]),
    # how versions and names are written
    "capitals and underscores": (
        "PyYAML>=5.3\nopencv_python_headless\n",
        ["PyYAML>=5.3", "opencv_python_headless"],
        [],
    ),
    "blanks around the operator": ("ray >= 2.9\ntorch == 2.3.1\n", ["ray >= 2.9", "torch == 2.3.1"], []),
    "extras": (
        "uvicorn[standard]\ndiffusers[ torch , training ]>=0.20\n",
        ["uvicorn[standard]", "diffusers[ torch , training ]>=0.20"],
        [],
    ),
    "wildcards": ("peft==0.5.*\naccelerate!=0.21.*\n", ["peft==0.5.*", "accelerate!=0.21.*"], []),
    "compatible and exact": ("scipy~=1.10\nlibrosa===0.9.2\n", ["scipy~=1.10", "librosa===0.9.2"], []),
    "a range with a comment": ("timm>=0.6,<2 # not 2\n", ["timm>=0.6,<2"], []),
    "a range in brackets": ("numpy (>=1.24,<2)\n", ["numpy (>=1.24,<2)"], []),
    "the same line twice": ("torchvision\nclean-fid\ntorchvision\n", ["torchvision", "clean-fid", "torchvision"], []),
    "markers": (
        "deepspeed==0.15.1; sys_platform == 'linux'\ntriton-windows; sys_platform=='win32'\n",
        ["deepspeed==0.15.1; sys_platform == 'linux'", "triton-windows; sys_platform=='win32'"],
        [],
    ),
    "a comma at the end": ("transformers>=4.30,\n", ["transformers>=4.30,"], []),
    # indexes
    "an extra index": (f"--extra-index-url {CUDA}\ntorch==2.1.0\n", ["torch==2.1.0"], [(1, "layer-index", CUDA)]),
    "an extra index with =": (f"--extra-index-url={CUDA}\ntqdm\n", ["tqdm"], [(1, "layer-index", '"torch"')]),
    "an index": ("--index-url https://w.example.org/simple\ntqdm\n", ["tqdm"], [(1, "layer-index", "w-example-org")]),
    "a short index": ("-i https://w.example.org/simple/\ntqdm\n", ["tqdm"], [(1, "layer-index", "ours-*")]),
    "an index without a blank": ("-ihttps://w.example.org/simple\ntqdm\n", ["tqdm"], [(1, "layer-index", "indexes")]),
    "two indexes with a comment": (
        f"--extra-index-url {CUDA}\n--extra-index-url https://w.example.org/ort/ # issue 21684\nconformer\n",
        ["conformer"],
        [(1, "layer-index", CUDA), (2, "layer-index", "https://w.example.org/ort")],
    ),
    "an index behind a requirement": (
        f"torch==2.0.1+cu118 --extra-index-url {CUDA}\n",
        ["torch==2.0.1+cu118"],
        [(1, "layer-index", CUDA), (0, "index-missing", CUDA)],
    ),
    "a page of links with tags": (
        f"-f {STABLE}\ntorch===1.7.1+cu110\n",
        ["torch===1.7.1+cu110"],
        [
            (1, "layer-index", PYTORCH_INDEX.format(tag="cu110")),
            (0, "index-missing", PYTORCH_INDEX.format(tag="cu110")),
        ],
    ),
    "a page of links of one tag": (
        f"--find-links {PYTORCH_INDEX.format(tag='cu111')}/torch_stable.html\ntqdm\n",
        ["tqdm"],
        [(1, "layer-index", PYTORCH_INDEX.format(tag="cu111"))],
    ),
    "a page of links elsewhere": (
        "-f https://w.example.org/torch-2.1.0+cu118.html\ntorch-scatter\n",
        ["torch-scatter"],
        [(1, "layer-index", "artifacts/site/local-wheels")],
    ),
    "a folder of wheels": (
        "--find-links ./wheels\n--no-index\ntqdm\n",
        ["tqdm"],
        [(1, "layer-index", "local-wheels"), (2, "layer-option", "local-wheels")],
    ),
    "an index with a login": (
        "--extra-index-url https://__token__:${GITLAB_TOKEN}@g.example.org/simple\nours\n",
        ["ours"],
        [(1, "layer-index", '"token_variable": "GITLAB_TOKEN"')],
    ),
    "a tag without an index": (
        "torch==1.12.1+cu102\ntorchvision==0.13.1+cu102\n",
        ["torch==1.12.1+cu102", "torchvision==0.13.1+cu102"],
        [(0, "index-missing", PYTORCH_INDEX.format(tag="cu102"))],
    ),
    "the CPU's build": (
        "torch==2.1.0+cpu\n",
        ["torch==2.1.0+cpu"],
        [(0, "index-missing", PYTORCH_INDEX.format(tag="cpu"))],
    ),
    # other options
    "pre-releases": ("--pre\ntorch\n", ["torch"], [(1, "layer-option", ">=2.6.0.dev0")]),
    "options that change nothing": (
        "--prefer-binary\n--only-binary=:all:\n--use-feature=fast-deps\ntqdm\n",
        ["tqdm"],
        [(1, "layer-option", ""), (2, "layer-option", ""), (3, "layer-option", "")],
    ),
    "no binary": ("--no-binary av\nav\n", ["av"], [(1, "layer-option", "pip wheel --no-deps --no-binary av")]),
    "a trusted host": ("--trusted-host w.example.org\ntqdm\n", ["tqdm"], [(1, "layer-option", "SSL_CERT_FILE")]),
    "options of a build": (
        'apex==0.1 --global-option="--cuda_ext" --config-settings=--build-option=x\n',
        ["apex==0.1"],
        [(1, "layer-option", ""), (1, "layer-option", "")],
    ),
    "hashes": (
        f"--require-hashes\nsix==1.16.0 \\\n    --hash=sha256:{SHA} \\\n    --hash=sha256:{'cd' * 32}\n",
        ["six==1.16.0"],
        [(1, "layer-option", "")],
    ),
    # addresses
    "git without a name": (
        "git+https://github.com/openai/CLIP.git\n",
        [],
        [(1, "layer-source", "xaiva wheel site git+https://github.com/openai/CLIP.git; then lock again")],
    ),
    "git with egg": (
        "git+https://github.com/facebookresearch/detectron2.git@v0.6#egg=detectron2\n",
        [],
        [(1, "layer-source", "xaiva wheel site detectron2")],
    ),
    "git with a name": (
        "tqdm\nunsloth_zoo @ git+https://github.com/unslothai/unsloth-zoo.git@8b312c0\n",
        ["tqdm"],
        [(2, "layer-source", "xaiva wheel site unsloth-zoo")],
    ),
    "git in a folder": (
        "pycocotools @ git+https://github.com/philferriere/cocoapi.git@main#subdirectory=PythonAPI\n",
        [],
        [(1, "layer-source", "xaiva wheel site pycocotools")],
    ),
    "git by ssh": (
        "git+ssh://git@git.example.org/vision/ours.git#egg=ours\n",
        [],
        [(1, "layer-source", 'pip wheel --no-deps --wheel-dir artifacts/site/local-wheels "git+ssh://')],
    ),
    "git for another system": ("x @ git+https://github.com/a/x ; sys_platform == 'win32'\ntqdm\n", ["tqdm"], []),
    "hg": ("hg+https://h.example.org/ours#egg=ours\n", [], [(1, "layer-source", "pip wheel --no-deps")]),
    "an editable repository": (
        "-e git+https://github.com/facebookresearch/audiocraft@0c75a46#egg=audiocraft\n",
        [],
        [(1, "layer-source", "xaiva wheel site audiocraft")],
    ),
    "an editable part of a repository": (
        "-e git+https://github.com/a/b.git#egg=b&subdirectory=x\n",
        [],
        [(1, "layer-source", "xaiva wheel site b;")],
    ),
    "the project itself": ("-e .\ntqdm\n", ["tqdm"], [(1, "layer-source", "FOLDER (where . is)")]),
    "the project with extras": (".[dev]\n", [], [(1, "layer-source", "pip wheel --no-deps")]),
    "a folder": ("./third_party/Matcha-TTS\n", [], [(1, "layer-source", "the name of that wheel")]),
    "a wheel beside it": ("./six-1.16.0-py2.py3-none-any.whl\n", [], [(1, "layer-source", "copy that wheel")]),
    "a wheel's address": (f"{WHEEL}\n", [f"six @ {WHEEL}"], []),
    "a wheel's address with its hash": (f"{WHEEL}#sha256={SHA}\n", [f"six @ {WHEEL}"], []),
    "a wheel's address and a marker": (
        f'{WHEEL}; platform_system == "Linux" and platform_machine == "x86_64"\n',
        [f'six @ {WHEEL} ; platform_system == "Linux" and platform_machine == "x86_64"'],
        [],
    ),
    "no blank before the marker": (
        f"six @ {WHEEL}; python_version<'3.11'\n",
        [f'six @ {WHEEL} ; python_version < "3.11"'],
        [],
    ),
    "no blanks at all": (f"six@{WHEEL};python_version<'3.11'\n", [f'six @ {WHEEL} ; python_version < "3.11"'], []),
    "a wheel behind a login": (
        "https://${TOKEN}@h.example.org/ours-1.0-py3-none-any.whl\n",
        [],
        [(1, "layer-source", "local-wheels")],
    ),
    "a wheel whose name has no version": (
        "https://h.example.org/main/en_core_web_lg-any-py3-none-any.whl\n",
        [],
        [(1, "layer-source", "as NAME-VERSION-py3-none-any.whl")],
    ),
    "a path with a name": ("ours @ ./ours-1.0-py3-none-any.whl\n", [], [(1, "layer-source", "copy that wheel")]),
    "an editable folder with extras": ("-e ./third_party/x[cuda]\n", [], [(1, "layer-source", "third_party/x")]),
    "a folder without a dot": ("third_party/x\n", [], [(1, "layer-source", "third_party/x")]),
    "git as ssh writes it": (
        "-e git+git@h.example.org:a/DPR.git#egg=DPR\n",
        [],
        [(1, "layer-source", "git+ssh://git@h.example.org/a/DPR.git")],
    ),
    "git with a token": (
        "git+https://${GITHUB_TOKEN}@h.example.org/a/ours.git#egg=ours\n",
        [],
        [(1, "layer-source", '"git+https://${GITHUB_TOKEN}@h.example.org/a/ours.git"')],
    ),
    "an editable repository of git's own protocol": (
        "-e git://h.example.org/ours.git#egg=ours\n",
        [],
        [(1, "layer-source", '"git+git://h.example.org/ours.git"')],
    ),
    "ssh with a colon": (
        "git+ssh://git@h.example.org:a/ours.git\n",
        [],
        [(1, "layer-source", '"git+ssh://git@h.example.org/a/ours.git"')],
    ),
    "a path with a fragment": ("third_party/x#egg=x\n", [], [(1, "layer-source", "where third_party/x is")]),
    "a wheel on a drive": (
        "C:\\wheels\\six-1.16.0-py2.py3-none-any.whl\n",
        [],
        [(1, "layer-source", "copy that wheel into artifacts/site/local-wheels")],
    ),
    "a folder on a drive": ("-e C:/projects/ours\n", [], [(1, "layer-source", "FOLDER (where C:/projects/ours is)")]),
    "a folder of Windows": ("-e c:\\work\\ours\n", [], [(1, "layer-source", "FOLDER (where c:\\work\\ours is)")]),
    "file: without slashes": ("file:./libs/x\n", [], [(1, "layer-source", "pip wheel --no-deps")]),
    "a blank in a path": ("-e ./my\\ folder\n", [], [(1, "layer-source", "FOLDER (where ./my folder is)")]),
    "git with a tag": (
        "git+https://h.example.org/ours.git@v1.2#subdirectory=a/b\n",
        [],
        [(1, "layer-source", "xaiva wheel site 'git+https://h.example.org/ours.git@v1.2#subdirectory=a/b'; then")],
    ),
    "a source archive": (
        "https://h.example.org/ours-1.0.tar.gz\n",
        [],
        [(1, "layer-source", "xaiva wheel site https://h.example.org/ours-1.0.tar.gz; then lock again")],
    ),
    "an address of a constraint": ("-c limits.txt\ntqdm\n", ["tqdm"], [(0, "layer-option", "write this line")]),
    "an archive": (
        "https://github.com/a/kenlm/archive/master.zip\n",
        [],
        [(1, "layer-source", "xaiva wheel site https://github.com/a/kenlm/archive/master.zip; then")],
    ),
    "an archive with a name": (
        "kenlm @ https://github.com/a/kenlm/archive/master.zip\n",
        [],
        [(1, "layer-source", "xaiva wheel site kenlm")],
    ),
    "conda's freeze": (
        "absl-py==2.0.0\ncertifi @ file:///croot/certifi_1671487769961/certifi\n"
        "win-inet-pton @ file:///D:/bld/win_inet_pton_1667051142467/work\n",
        ["absl-py==2.0.0"],
        [(0, "layer-source", "NAME==VERSION")],
    ),
    "a variable": ("six==${SIX_VERSION}\ntqdm\n", ["tqdm"], [(1, "layer-source", "in place of ${SIX_VERSION}")]),
    "a file on the web": (
        "-r https://h.example.org/base.txt\ntqdm\n",
        ["tqdm"],
        [(1, "layer-source", "curl -fL -o base.txt https://h.example.org/base.txt")],
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_file_that_pip_or_uv_reads_is_read(site: Site, name: str) -> None:
    body, requirements, expected = BODIES[name]
    write(site, "x @ git+https://h.example.org/x\n", "layers/limits.txt")
    layer = read(site, body)
    assert not layer.problems
    assert layer.requirements == requirements
    results = findings(site)
    assert len(results) == len(expected), results
    for line, code, words in expected:
        place = f"{FILE} line {line}" if line else ""
        assert any(finding.code == code and place in finding.what and words in finding.remedy for finding in results), (
            words,
            results,
        )


FREEZE = "".join(f"p{number} @ file:///croot/p{number}_167/work\nq{number}==1.0\n" for number in range(94))
GIT = "git+https://h.example.org/ours.git"
# A file's body, and how its findings begin: what one remedy serves is said once, with every line.
TOGETHER: dict[str, tuple[str, list[str]]] = {
    "a freeze": (
        FREEZE,
        [
            f"{FILE} lines 1, 3, 5 and 91 more: 94 requirements do not come from an index: "
            "p0 @ file:///croot/p0_167/work, p1 @ file:///croot/p1_167/work, p2 @ file:///croot/p2_167/work, …"
        ],
    ),
    "lines that follow one another": (
        "a @ file:///a\nb @ file:///b\nc @ file:///c\n\nd @ file:///d\n",
        [f"{FILE} lines 1-3 and 1 more: 4 requirements"],
    ),
    "two files": ("a @ file:///a\n-r more.txt\n", [f"{FILE} line 1; layers/more.txt lines 2-3: 3 requirements"]),
    "wheels beside it": (
        "./a-1.0-py3-none-any.whl\n./b-1.0-py3-none-any.whl\n",
        [f"{FILE} lines 1-2: 2 requirements do not come from an index: a @ ./a"],
    ),
    "one address twice": (f"{GIT}\ntqdm\n{GIT}\n", [f"{FILE} lines 1, 3: 2 requirements"]),
    "two addresses": (f"{GIT}\nx @ {GIT}\n", [f"{FILE} line 1: ", f"{FILE} line 2: "]),
    "one index behind many": (
        f"torch --extra-index-url {CUDA}\ntorchvision --extra-index-url {CUDA}\n",
        [f"{FILE} lines 1-2: --extra-index-url {CUDA} is not used"],
    ),
    "an option behind many": (
        'a --global-option="--x"\nb --global-option="--x"\nc --global-option="--y"\n',
        [f"{FILE} lines 1-2: --global-option --x changes", f"{FILE} line 3: --global-option --y"],
    ),
}


@pytest.mark.parametrize(("body", "beginnings"), TOGETHER.values(), ids=TOGETHER)
def test_what_one_remedy_serves_is_one_finding(site: Site, body: str, beginnings: list[str]) -> None:
    write(site, "tqdm\nx @ file:///x\ny @ file:///y\n", "layers/more.txt")
    write(site, body)
    results = findings(site)
    assert len(results) == len(beginnings), results
    for finding, beginning in zip(results, beginnings, strict=True):
        assert finding.what.startswith(beginning)
        if " more: " in finding.what:
            assert re.search(rf"all of them: {FILE} lines 1[-,]", finding.why)


# What pip does not read either, and how it is written right.
REFUSED: dict[str, tuple[str, str]] = {
    "one equals sign": ("numpy=1.26.4", "numpy==1.26.4"),
    "conda list --export": ("numpy=1.26.4=py310h5f9d8c6_0", "numpy==1.26.4"),
    "no operator": ("numpy 1.26.4", "numpy==1.26.4"),
    "a wildcard with >=": ("numpy>=1.26.*", "numpy>=1.26"),
    "x for a number": ("numpy==1.26.x", "numpy==1.26.*"),
    "Poetry's caret": ("numpy^1.26", "numpy>=1.26,<2"),
    "turned operator": ("numpy=>1.26", "numpy>=1.26"),
    "no comma": ("numpy>=1.26 <2", "numpy>=1.26,<2"),
    "quoted": ('"numpy>=1.26",', "numpy>=1.26"),
    "a list of YAML": ("- numpy>=1.26", "numpy>=1.26"),
    "a command": ("pip install numpy", "numpy"),
    "an operator without a version": ("numpy==", "numpy"),
    "a marker without quotes": ("numpy; python_version<3.11", 'numpy; python_version<"3.11"'),
    "a marker that ends": ("numpy;", "numpy"),
    "extras behind the version": ("pytest >=2.0 [tests]", "pytest[tests]>=2.0"),
    "git without git+": ("git://h.example.org/a/x.git", "git+https://h.example.org/a/x.git"),
    "git behind a name": ("x @ git://h.example.org/a/x.git", "x @ git+https://h.example.org/a/x.git"),
    "what git clone takes": ("git@h.example.org:a/x.git#egg=x", "git+ssh://git@h.example.org/a/x.git#egg=x"),
    "an address of ssh": ("ssh://git@h.example.org/a/x.git", "git+ssh://git@h.example.org/a/x.git"),
}


@pytest.mark.parametrize(("line", "right"), REFUSED.values(), ids=REFUSED)
def test_a_line_that_pip_refuses_gets_the_right_remedy(site: Site, line: str, right: str) -> None:
    ((what, remedy),) = read(site, f"# ours\n{line}\n").problems
    assert what.startswith(f"{FILE} line 2: ")
    assert remedy == f"write {right}"
    corrected = parse_line(right)
    assert corrected.reference or corrected.requirement == right


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("_libgcc_mutex=0.1=main", "pip list --format=freeze"),
        ("@EXPLICIT", "pip list --format=freeze"),
        ("--process-dependency-links", "remove it"),
        ("six==1.16.0 --hash=md5:abc", "sha256"),
        ("--index-url", "value"),
        ("numpy >= banana", "PEP 508"),
        ("torch==2.0.0 torchvision==0.15.1", "each on a line of its own: torch==2.0.0, torchvision==0.15.1"),
        ("xformers bitsandbytes>=0.43", "each on a line of its own: xformers, bitsandbytes>=0.43"),
        ("torch torchaudio --pre", "each on a line of its own: torch, torchaudio"),
        ("pip install numpy scipy", "each on a line of its own: numpy, scipy"),
        ("numpy, scipy", "each on a line of its own: numpy, scipy"),
        ("<<<<<<< HEAD", "merge conflict"),
        ("=======", "merge conflict"),
        ("novcs+http://h.example.org/x", "PEP 508"),
    ],
)
def test_other_lines_that_pip_refuses(site: Site, line: str, remedy: str) -> None:
    ((_, way),) = read(site, f"{line}\n").problems
    assert remedy in way


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


def test_an_index_that_the_preset_has_is_no_finding(site: Site) -> None:
    """The remedy of an index is walked: its entry is put into the preset as it is printed."""
    write(site, f"--extra-index-url {CUDA}\n-i https://w.example.org/simple\ntorch==2.0.1+cu118\n")
    entries = [re.search(r"\{.*?\}", finding.remedy) for finding in findings(site) if finding.code == "layer-index"]
    results = findings(site, indexes=[json.loads(entry[0]) for entry in entries if entry])
    assert results == []


def test_an_inline_requirement_is_read_as_one_of_a_file(site: Site) -> None:
    lines = ["clip @ git+https://github.com/openai/CLIP.git", f"six==1.16.0 --hash=sha256:{SHA}"]
    layers = [{"name": "model", "requirements": lines}]
    (finding,) = findings(site, layers=layers)
    assert (finding.code, finding.where) == ("layer-source", "layers: model")
    assert "xaiva wheel site clip" in finding.remedy


def test_a_token_is_in_no_finding(site: Site) -> None:
    write(site, "-i https://me:hunter22@h.example.org/simple\nx @ git+https://hunter22:x@h.example.org/x\n")
    assert "hunter22" not in json.dumps([finding.model_dump(mode="json") for finding in findings(site)])
    text = preset_text(layers=[{"name": "a", "requirements": ["x @ https://me:hunter22@h.example.org/x.zip"]}])
    (problem,) = validate_text(text, site.presets / "x.json")
    assert "hunter22" not in str(problem)


def test_a_bad_file_is_refused_with_its_line_by_whoever_loads_the_preset(site: Site) -> None:
    write(site, "tqdm\nnumpy=1.26\n")
    (site.presets / f"{NAME}.json").write_text(preset_text())
    with pytest.raises(InputError, match=r"layers/model.txt line 2"):
        load_named(site, NAME)
    with pytest.raises(UnreadableLine):
        parse_line("numpy=1.26")


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("ours", "ours @ git+https://h.example.org/ours.git@v1#subdirectory=python"),
        ("Ours", "ours @ git+https://h.example.org/ours.git@v1#subdirectory=python"),
        ("ours==3.0", "ours==3.0"),
        ("kenlm", "kenlm @ https://h.example.org/kenlm.zip"),
        ("six", "six<2"),
        ("clip", "git+https://h.example.org/CLIP.git"),  # the name of its repository
        ("git+https://h.example.org/CLIP.git", "git+https://h.example.org/CLIP.git"),
        ("git+https://h.example.org/b.git@v2", "git+https://h.example.org/b.git@v2"),
        ("git+https://h.example.org/b.git#subdirectory=x", "git+https://h.example.org/b.git#subdirectory=x"),
        ("git+https://h.example.org/b#egg=b&subdirectory=x", "b @ git+https://h.example.org/b#subdirectory=x"),
        ("https://h.example.org/b-1.0.tar.gz", "https://h.example.org/b-1.0.tar.gz"),
        ("b@git+https://h.example.org/b", "b @ git+https://h.example.org/b"),
        ("b @ https://h.example.org/b.zip ; python_version > '3'", "b @ https://h.example.org/b.zip"),
    ],
)
def test_xaiva_wheel_builds_a_package_from_its_address(site: Site, text: str, built: str) -> None:
    write(
        site,
        "-e git+https://h.example.org/ours.git@v1#egg=ours&subdirectory=python\n"
        "kenlm @ https://h.example.org/kenlm.zip\nsix<2\ngit+https://h.example.org/CLIP.git\n",
    )
    (site.presets / f"{NAME}.json").write_text(preset_text())
    assert build_wheel._complete_requirement(site, load_named(site, NAME), text) == built


@pytest.mark.parametrize(
    "text", ["ours", "git+ssh://git@h.example.org/ours.git", "git+https://hunter22@h.example.org/x", "-e .", "./ours"]
)
def test_xaiva_wheel_says_the_way_of_what_it_cannot_reach(site: Site, text: str) -> None:
    write(site, "ours @ git+ssh://git@h.example.org/ours.git\n")
    (site.presets / f"{NAME}.json").write_text(preset_text())
    with pytest.raises(InputError, match="cannot reach") as raised:
        build_wheel._complete_requirement(site, load_named(site, NAME), text, NAME)
    assert "pip wheel --no-deps" in raised.value.remedy
    assert "hunter22" not in f"{raised.value} {raised.value.remedy}"


# Files of a project; the preset's indexes, by name; the copied files; codes of what was not carried over.
FROM: dict[str, tuple[dict[str, str], list[tuple[str, list[str]]], list[str], list[str]]] = {
    "a plain file": ({"requirements.txt": "numpy==1.26.4\n"}, [], ["requirements.txt"], []),
    "an empty file": ({"requirements.txt": "# nothing yet\n"}, [], ["requirements.txt"], []),
    "files that it names": (
        {"requirements.txt": "-r req/base.txt\n-c limits.txt\n", "req/base.txt": "numpy", "limits.txt": "numpy<2"},
        [],
        ["limits.txt", "req/base.txt", "requirements.txt"],
        [],
    ),
    "files above it": (
        {
            "requirements.txt": "-r ../base.txt\n-r ../common/all.txt\n",
            "../base.txt": "six",
            "../common/all.txt": "tqdm",
        },
        [],
        ["base.txt", "common/all.txt", "project/requirements.txt"],
        [],
    ),
    "indexes": (
        {
            "requirements.txt": f"--extra-index-url {CUDA}\n-i https://${{WHEELS_USER}}:${{WHEELS_TOKEN}}@w.example.org/simple\n"
            "ours==1.0+cu118\ntorch\n"
        },
        [("pytorch-cu118", list(PYTORCH_PACKAGES)), ("w-example-org", ["ours"])],
        ["requirements.txt"],
        [],
    ),
    "one index twice": (
        {"requirements.txt": f"--extra-index-url {CUDA}\ntorch==2.1.0+cu118 -f {STABLE}\n"},
        [("pytorch-cu118", list(PYTORCH_PACKAGES))],
        ["requirements.txt"],
        [],
    ),
    "tags without an index": (
        {"requirements.txt": "torch==1.12.1+cu113\ntorchvision==0.13.1+cu113\n"},
        [("pytorch-cu113", list(PYTORCH_PACKAGES))],
        ["requirements.txt"],
        [],
    ),
    "two indexes of one host": (
        {"requirements.txt": "-i https://w.example.org/a\n--extra-index-url https://w.example.org/b\n"},
        [("w-example-org", []), ("w-example-org-2", [])],
        ["requirements.txt"],
        [],
    ),
    "what cannot be carried": (
        {"requirements.txt": "git+https://h.example.org/x.git\n-f https://w.example.org/x.html\n--pre\n-e .\n"},
        [],
        ["requirements.txt"],
        ["layer-index", "layer-option", "layer-source", "layer-source"],
    ),
}


@pytest.mark.parametrize(("files", "indexes", "copied", "codes"), FROM.values(), ids=FROM)
def test_a_preset_is_made_of_a_requirement_file(
    site: Site,
    tmp_path: Path,
    files: dict[str, str],
    indexes: list[tuple[str, list[str]]],
    copied: list[str],
    codes: list[str],
) -> None:
    folder = tmp_path / "checkout/project"
    for file, body in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    created = create_from_requirements(site, NAME, folder / "requirements.txt")
    preset = load_named(site, NAME)
    assert [(index.name, index.packages) for index in preset.indexes] == indexes
    assert sorted(str(path.relative_to(site.presets / "layers" / NAME)) for path in created.copied) == copied
    assert sorted(finding.code for finding in created.findings) == codes
    before = read_layer_file(folder.parent, "project/requirements.txt")
    after = read_layer(preset, site.presets, "requirements")
    assert (after.requirements, after.constraints) == (before.requirements, before.constraints)


def test_the_login_of_an_index_is_named_and_not_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("-i https://${WHEELS_USER}:${WHEELS_TOKEN}@w.example.org/simple\n")
    create_from_requirements(site, NAME, tmp_path / "r.txt")
    (index,) = load_named(site, NAME).indexes
    assert (index.url, index.username_variable, index.token_variable) == (
        "https://w.example.org/simple",
        "WHEELS_USER",
        "WHEELS_TOKEN",
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("numpy=1.26\n", "numpy==1.26"),
        ("-r none.txt\n", "none.txt"),
        ("-i https://me:hunter22@w.example.org/simple\n", "WHEELS_TOKEN"),
        ("x @ git+https://hunter22@h.example.org/x\n", "WHEELS_TOKEN"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_nothing_behind(site: Site, tmp_path: Path, body: str, words: str) -> None:
    (tmp_path / "r.txt").write_text(body)
    before = sorted(site.root.rglob("*"))
    with pytest.raises(InputError) as raised:
        create_from_requirements(site, NAME, tmp_path / "r.txt")
    assert words in raised.value.why
    assert "hunter22" not in str(raised.value)
    assert sorted(site.root.rglob("*")) == before


def test_a_name_that_is_taken_stays_as_it_is(site: Site, tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("numpy\n")
    create_from_requirements(site, NAME, tmp_path / "r.txt")
    before = {path: path.read_bytes() for path in site.presets.rglob("*") if path.is_file()}
    (tmp_path / "r.txt").write_text("tqdm\n")
    with pytest.raises(InputError, match="already"):
        create_from_requirements(site, NAME, tmp_path / "r.txt")
    (site.presets / f"{NAME}.json").unlink()
    with pytest.raises(InputError, match="already"):
        create_from_requirements(site, NAME, tmp_path / "r.txt")
    assert all(path.read_bytes() == content for path, content in before.items() if path.suffix != ".json")


def test_the_command_line_makes_one(site: Site, tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(f"--extra-index-url {CUDA}\n--pre\ntorch\n")
    words = ["--site", str(site.root), "preset", "new", NAME, "--from", str(tmp_path / "r.txt")]
    result = CliRunner().invoke(root, words, obj=None)
    assert result.exit_code == 0, result.output
    assert str(site.presets / f"{NAME}.json") in result.output
    assert "line 2: --pre has no effect" in result.output
    again = CliRunner().invoke(root, [*words, "--file", str(tmp_path / "r.txt")])
    assert again.exit_code == 2


async def test_the_console_makes_one(site: Site, tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(f"--extra-index-url {CUDA}\ntorch\n")
    env = {**site.env, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    app = XaivaApp(Site(site.root, site.settings, env))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("2", "n")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*NAME, "tab")
        app.screen.post_message(Paste(str(tmp_path / "r.txt")))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
    (index,) = load_named(site, NAME).indexes
    assert index.name == "pytorch-cu118"

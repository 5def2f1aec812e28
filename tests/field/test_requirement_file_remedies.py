"""Kind: what a requirement file asks for and cannot go offline has no remedy, or one that does not work.

It applies to each line that a lock cannot take or that pip refuses, in the check and in `xaiva wheel`.
"""

from __future__ import annotations

import json
import re

import pytest

from core.artifacts import build_wheel
from core.errors import InputError
from core.presets.index_entries import PYTORCH_INDEX
from core.presets.requirement_text import UnreadableLine, parse_line
from core.presets.store import load_named
from core.presets.validation import validate_text
from core.site import Site
from tests.support.requirement_files import FILE, NAME, findings, preset_text, read, write

SHA = "ab" * 32
CUDA = PYTORCH_INDEX.format(tag="cu118")


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

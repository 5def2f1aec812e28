"""Kind: a preset that is made of a requirement file asks for something else than the file.

It applies to `xaiva preset new --from` and to the console: what is copied, which indexes are written, what is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from textual.events import Paste
from textual.widgets import Input

from core.cli.app import root
from core.errors import InputError
from core.presets.from_requirements import create_from_requirements
from core.presets.index_entries import PYTORCH_INDEX, PYTORCH_PACKAGES
from core.presets.layer_file import read_layer_file
from core.presets.store import load_named, read_layer
from core.site import Site
from tests.support.requirement_files import NAME
from tests.tui.support import until
from tui.app import XaivaApp
from tui.screens.editor import EditorScreen

CUDA = PYTORCH_INDEX.format(tag="cu118")
NAMED = "requirements.txt"
STABLE = PYTORCH_INDEX.format(tag="torch_stable.html")


# The file, or the files of a project; and what differs of: the preset's indexes, the copied files, codes of findings.
FROM: dict[str, tuple[str | dict[str, str], dict[str, Any]]] = {
    "a plain file": ("numpy==1.26.4\n", {}),
    "an empty file": ("# nothing yet\n", {}),
    "files that it includes": (
        {NAMED: "-r req/base.txt\n-c limits.txt\n", "req/base.txt": "numpy", "limits.txt": "numpy<2"},
        {"copied": ["limits.txt", "req/base.txt", NAMED]},
    ),
    "files above it": (
        {NAMED: "-r ../base.txt\n-r ../common/all.txt\n", "../base.txt": "six", "../common/all.txt": "tqdm"},
        {"copied": ["base.txt", "common/all.txt", f"project/{NAMED}"]},
    ),
    "indexes": (
        f"--extra-index-url {CUDA}\n-i https://${{WHEELS_USER}}:${{WHEELS_TOKEN}}@w.example.org/simple\n"
        "ours==1.0+cu118\ntorch\n",
        {"indexes": [("pytorch-cu118", PYTORCH_PACKAGES), ("w-example-org", ["ours"])]},
    ),
    "one index twice": (
        f"--extra-index-url {CUDA}\ntorch==2.1.0+cu118 -f {STABLE}\n",
        {"indexes": [("pytorch-cu118", PYTORCH_PACKAGES)]},
    ),
    "tags without an index": (
        "torch==1.12.1+cu113\ntorchvision==0.13.1+cu113\n",
        {"indexes": [("pytorch-cu113", PYTORCH_PACKAGES)]},
    ),
    "two indexes of one host": (
        "-i https://w.example.org/a\n--extra-index-url https://w.example.org/b\n",
        {"indexes": [("w-example-org", []), ("w-example-org-2", [])]},
    ),
    "what cannot be carried": (
        "git+https://h.example.org/x.git\n-f https://w.example.org/x.html\n--pre\n-e .\n",
        {"codes": ["layer-index", "layer-option", "layer-source", "layer-source"]},
    ),
}


@pytest.mark.parametrize(("files", "expected"), FROM.values(), ids=FROM)
def test_a_preset_is_made_of_a_requirement_file(
    site: Site, tmp_path: Path, files: str | dict[str, str], expected: dict[str, Any]
) -> None:
    folder = tmp_path / "checkout/project"
    for file, body in ({NAMED: files} if isinstance(files, str) else files).items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    created = create_from_requirements(site, NAME, folder / NAMED)
    preset = load_named(site, NAME)
    assert [(index.name, index.packages) for index in preset.indexes] == expected.get("indexes", [])
    assert sorted(str(path.relative_to(site.presets / "layers" / NAME)) for path in created.copied) == expected.get(
        "copied", [NAMED]
    )
    assert sorted(finding.code for finding in created.findings) == expected.get("codes", [])
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

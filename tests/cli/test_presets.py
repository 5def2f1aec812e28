"""`xaiva preset`: the folder, and checks with their exit code."""

from __future__ import annotations

import json

from core.site import Site
from tests.cli.conftest import Xaiva


def test_list_shows_broken_ones_and_stops_for_none(xaiva: Xaiva, site: Site) -> None:
    (site.presets / "broken.json").write_text('{"base_image": 7}')
    result = xaiva("preset", "list")
    assert result.code == 0
    assert "small" in result.out
    assert "For tests" in result.out
    assert "broken.json" in result.err
    presets = {entry["name"]: entry for entry in xaiva("preset", "list", "--json").document["presets"]}
    assert presets["small"]["preset"]["python_version"] == "3.11"
    assert presets["broken"]["preset"] is None
    assert "broken.json" in presets["broken"]["error"]["what"]


def test_new_show_duplicate_rename_delete(xaiva: Xaiva, site: Site) -> None:
    assert xaiva("preset", "new", "fresh").code == 0
    assert json.loads(xaiva("preset", "show", "fresh").out)["base_image"] == "debian:bookworm-slim"
    assert xaiva("preset", "new", "fresh").code == 2
    assert xaiva("preset", "new", "given", "--file", "-", stdin=(site.presets / "small.json").read_text()).code == 0
    assert xaiva("preset", "new", "wrong", "--file", "-", stdin='{"base_image": 7}').code == 2
    assert not (site.presets / "wrong.json").exists()
    assert xaiva("preset", "duplicate", "fresh", "second").code == 0
    assert xaiva("preset", "rename", "second", "third", "--json").document == {
        "remains": {"artifacts": None, "image": "xaiva/second:latest"}
    }
    assert xaiva("preset", "delete", "third").code == 130  # nobody said yes
    assert (site.presets / "third.json").exists()
    assert xaiva("preset", "delete", "third", "--yes").code == 0
    assert not (site.presets / "third.json").exists()


def test_show_with_json_has_every_default(xaiva: Xaiva) -> None:
    document = xaiva("preset", "show", "small", "--json").document
    assert document["name"] == "small"
    assert document["preset"]["run"]["restart"] == "unless-stopped"


def test_check_ends_with_three_when_it_cannot_work(xaiva: Xaiva, site: Site) -> None:
    assert xaiva("preset", "check", "small").code == 0
    (site.presets / "new-cuda.json").write_text(
        '{"base_image": "nvidia/cuda:12.8.1-cudnn-devel-ubuntu22.04", "python_version": "3.10",'
        ' "pytorch": {"version": "2.7.1+cu128"}}'
    )
    result = xaiva("preset", "check", "new-cuda", "--gpu", "GTX 1060", "--driver", "535.183")
    assert result.code == 3
    assert "error:" in result.out
    json_result = xaiva("preset", "check", "new-cuda", "--gpu", "GTX 1060", "--driver", "535.183", "--json")
    assert json_result.code == 3
    assert any(finding["level"] == "error" for finding in json_result.document["findings"])
    assert xaiva("preset", "check", "small", "--driver", "new").code == 2


def test_choices_say_what_fits_and_why_not(xaiva: Xaiva) -> None:
    target = ("--gpu", "GTX 1060", "--driver", "535.183")
    out = xaiva("preset", "choices", "small", "tensorrt.version", *target).out
    assert "checked for GTX 1060, driver 535.183" in out
    assert "does not run on GTX 1060" in out
    document = xaiva("preset", "choices", "small", "base_image", *target, "--json").document
    rated = {choice["value"]: choice["problem"] for choice in document["choices"]}
    assert rated["ubuntu:24.04"] is None
    assert rated["nvidia/cuda:13.0.2-base-ubuntu24.04"]["level"] == "error"
    unknown = xaiva("preset", "choices", "small", "ports")
    assert unknown.code == 2
    assert "pytorch.version" in unknown.err


def test_suggest_names_versions(xaiva: Xaiva) -> None:
    result = xaiva("preset", "suggest", "--gpu", "GTX 1060", "--driver", "535.183")
    assert result.code == 0
    assert "torch: 2." in result.out
    document = xaiva("preset", "suggest", "--gpu", "GTX 1060", "--driver", "535.183", "--json").document
    assert document["suggestions"][0]["preset"]["pytorch"]["version"] == document["suggestions"][0]["torch"]
    assert document["target"]["gpus"][0]["name"] == "GTX 1060"


def test_the_schema_is_json(xaiva: Xaiva) -> None:
    assert xaiva("preset", "schema").document["title"] == "xaiva preset"

"""Suggestions: everything that is suggested passes the checks, on every GPU with every driver."""

from __future__ import annotations

import pytest

from core.errors import InputError, XaivaError
from core.findings import has_errors
from core.presets import store
from core.presets.compat import check, choices, find_gpu, load_facts, named_target, suggest
from core.presets.compat.checks.driver import last_branch
from core.presets.compat.machine import TargetMachine, has_code_for
from core.presets.compat.suggest import Suggestion
from core.site import Site

FACTS = load_facts()
DRIVERS = ["470.57.02", "525.60.13", "535.183.01", "550.54.14", "560.35.05", "570.124.06", "580.65.06", "595.58.03", ""]
# The checks look at no more of a GPU than this, apart from its memory.
X86 = {name: row for name, row in FACTS.gpus.items() if not row.aarch64}
GATES = {row.brand: tuple(row.brand in gate.brands for gate in FACTS.require_cuda.values()) for row in X86.values()}
ONE_OF_EACH_KIND = {(row.sm, row.nvenc, GATES[row.brand]): name for name, row in X86.items()}.values()


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_suggestion_passes_its_own_check(driver: str, site: Site) -> None:
    for name in ONE_OF_EACH_KIND:
        target = named_target([name], driver)
        for suggestion in _suggestions(target):
            store.save(site, "suggested", suggestion.preset)
            findings = check(store.load_named(site, "suggested"), target)
            assert not has_errors(findings), (name, driver, suggestion.torch, findings)


def test_nothing_is_left_out_that_would_work() -> None:
    """For each GPU some wheels have code for and a new driver, there is a suggestion."""
    for name in ONE_OF_EACH_KIND:
        some = any(has_code_for(X86[name].sm, row.sm, row.ptx) for row in FACTS.wheel_tags.values())
        newest = {470: "470.57.02", 580: "580.65.06", None: "595.58.03"}[last_branch(find_gpu(name, FACTS))]
        assert bool(_suggestions(named_target([name], newest))) == some, name


def _suggestions(target: TargetMachine) -> list[Suggestion]:
    try:
        return suggest(target, limit=10)
    except InputError:
        raise
    except XaivaError:  # nothing works
        return []


@pytest.mark.parametrize(
    ("gpu", "driver", "torch", "tensorrt", "headers"),
    [
        ("GTX 1060", "535.183", "2.14.0+cu126", "", "12.1.14.0"),
        ("GTX 1060", "470.57.02", "2.7.1+cu118", "8.6.1", "11.1.5.3"),
        ("V100", "580.65.06", "2.14.0+cu126", "", "13.0.19.0"),
        ("RTX 5090", "570.124.06", "2.11.0+cu129", "11.1", "13.0.19.0"),
        ("H200", "580.65.06", "2.14.0+cu132", "11.1", ""),
    ],
)
def test_known_machines(gpu: str, driver: str, torch: str, tensorrt: str, headers: str) -> None:
    best = suggest(named_target([gpu], driver))[0]
    assert (best.torch, best.tensorrt, best.nv_codec_headers) == (torch, tensorrt, headers)
    assert best.torchvision
    assert any(gpu in reason for reason in best.reasons)


def test_two_gpus_get_what_runs_on_both() -> None:
    both = suggest(named_target(["GTX 1060", "RTX 4090"], "580.65.06"))
    assert both[0].torch.endswith("+cu126")
    with pytest.raises(XaivaError) as refused:
        suggest(named_target(["GTX 1060", "RTX 5090"], "580.65.06"))
    assert refused.value.remedy.startswith("make a preset for each GPU")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (TargetMachine(), "no GPU is named"),
        (named_target(["Voodoo 2"], "580.65.06"), "architecture is not known"),
        (named_target(["RTX 4090", "Voodoo 2"], "580.65.06"), "architecture is not known"),
        (named_target(["Jetson AGX Orin"], "580.65.06"), "aarch64"),
    ],
    ids=["no-gpu", "unknown", "one-unknown", "arm"],
)
def test_where_nobody_can_say_nothing_is_suggested(target: TargetMachine, why: str) -> None:
    with pytest.raises(InputError, match=why):
        suggest(target)


def test_choices_fit_together() -> None:
    offered = choices()
    assert offered.torch_versions("3.9")[0].startswith("2.8.0+")
    assert "2.7.1+cu118" in offered.torch_versions("")
    assert offered.tensorrt_versions("3.6") == ["8.6.1"]
    assert len(offered.tensorrt_versions("")) > 1
    assert offered.pythons[0] == "3.15"
    assert "GTX 1060" in offered.gpus
    assert "debian:bookworm-slim" in offered.base_images

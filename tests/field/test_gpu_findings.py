"""Kind: a GPU is judged by its name where something else is known: architecture, memory, driver, machine.

It holds in the check, in `suggest` and in the console's form, and on the machine, where the driver says what the GPU is
and its name decides nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from core.cli.app import run
from core.errors import InputError, XaivaError
from core.findings import has_errors
from core.presets.compat import check, find_gpu, host_target, load_facts, named_target, suggest
from core.presets.model import Preset, Target
from core.site import Site
from tests.support.checks import cuda_preset, findings_with
from tests.support.fake_nvml import FakeNvml
from tests.tui.support import shows, until
from tui.app import XaivaApp
from tui.screens.target_dialogs import SuggestVersions

FACTS = load_facts()

# -- names that the tables do not know, or know twice: what the remedy begins with, if not with the way by hand

BY_HAND = "give its architecture"
NOT_KNOWN = [
    ("Quadro P2100", BY_HAND),
    ("RTX B2000", BY_HAND),
    ("RTX 9090", BY_HAND),
    ("RTX 4090 Ti", BY_HAND),
    ("NVIDIA GB202-400", BY_HAND),
    ("RTX 4095", BY_HAND),
    ("GTX 1090", BY_HAND),
    ("NVIDIA RTX 6000 Rubin", BY_HAND),
    ("A101", BY_HAND),
    ("Tesla C2050", BY_HAND),
    ("GeForce GT 710", BY_HAND),
    ("sm_85", "correct it, or give"),
    ("12.6", "correct it, or give"),
    ("NVIDIA GeForce RTX 30...", "write it as `nvidia-smi -L` shows it; or give"),
    ("NVIDIA A100-SXM...", "write it as `nvidia-smi -L` shows it; or give"),
    ("GeForce RTX", BY_HAND),
    ("Voodoo 2", BY_HAND),
    (
        "  MIG 1g.5gb     Device  0: (UUID: MIG-3cf9e2dd)",
        'write the name of the GPU before it, as in "A100 MIG 1g.5gb"; or give',
    ),
    ("MIG 3g.20gb A100", 'write the name of the GPU before it, as in "A100 MIG 3g.20gb"; or give'),
    ("MIG 1g.10gb", 'write the name of the GPU before it, as in "A100 MIG 1g.10gb"; or give'),
    ("T4-32Q", BY_HAND),
    ("A100-SXM4-40GB MIG 7g.80gb", BY_HAND),
    ("RXT 4090", "did you mean RTX 4090? Or give"),
    ("RTX 4090 Latop", "did you mean RTX 4090 Laptop? Or give"),
    ("Gefroce RTX 3060", "did you mean RTX 3060? Or give"),
    ("GTX 1O60", "did you mean GTX 1060? Or give"),
    ("Quadr P2000", "did you mean Quadro P2000? Or give"),
    ("RTX 4000 Adda", "did you mean RTX 4000 Ada? Or give"),
    ("RTX 6000", "write which of them you mean; or give"),
    ("RTX 5000", "write which of them you mean; or give"),
    ("RTX 4000 laptop", "write which of them you mean; or give"),
    ("RTX 5000 Max-Q", "write which of them you mean; or give"),
    ("titan x", "write which of them you mean; or give"),
]


@pytest.mark.parametrize(("name", "remedy"), NOT_KNOWN, ids=[row[0] for row in NOT_KNOWN])
def test_an_unknown_name_is_said_to_be_unknown(name: str, remedy: str) -> None:
    target = named_target([name], "580.65.06")
    assert (target.gpus[0].sm, target.vram_gib) == ("", None)
    (finding,) = findings_with(cuda_preset("2.7.1+cu126"), "gpu-unknown", Target(gpu=name))
    assert target.gpus[0].name in finding.what
    assert finding.remedy.startswith(remedy)
    assert '"gpu": "sm_86", "vram_gib": 8' in finding.remedy
    with pytest.raises(InputError) as refused:
        suggest(target)
    assert (refused.value.what, refused.value.remedy) == (finding.what, finding.remedy)


@pytest.mark.parametrize("name", ["Radeon RX 7900", "AMD Instinct MI300X", "Intel Arc A770", "Apple M4", "gfx1030"])
def test_another_makers_gpu_gets_no_architecture_to_write(name: str) -> None:
    (finding,) = findings_with(cuda_preset("2.7.1+cu126"), "gpu-unknown", Target(gpu=name))
    assert finding.what == f"{name} is not an NVIDIA GPU"
    assert "sm_" not in finding.remedy


# -- too old: known as such, with ways that exist

TOO_OLD = [
    ("Tesla K80", "2.7.1+cu126", "what works on it with Python 3.12", "cu117"),
    ("Tesla K40m", "2.7.1+cu126", "no known wheels run on this GPU; use CPU builds or another GPU", ""),
    ("GTX TITAN Black", "2.9.1+cu130", "no known wheels run on this GPU; use CPU builds or another GPU", ""),
]


@pytest.mark.parametrize(("name", "torch", "remedy", "tag"), TOO_OLD, ids=[row[0] for row in TOO_OLD])
def test_a_gpu_that_is_too_old_is_known_as_such(name: str, torch: str, remedy: str, tag: str) -> None:
    tensorrt = {"tensorrt": {"enabled": True, "version": "8.6.1"}}
    (finding,) = findings_with(cuda_preset(torch), "gpu-architecture", Target(gpu=name))
    assert finding.remedy.startswith(remedy if not tag else f"wheels with {tag} run on it")
    (no_tensorrt,) = findings_with(cuda_preset("2.1.0+cu118", **tensorrt), "tensorrt-gpu", Target(gpu=name))
    assert no_tensorrt.remedy == "leave TensorRT out" + (": PyTorch runs on this GPU" if tag else "")
    if tag:
        assert suggest(named_target([name]))[0].torch.endswith(f"+{tag}")
        return
    with pytest.raises(XaivaError) as refused:
        suggest(named_target([name], "470.256.02"))
    assert refused.value.remedy == "use CPU builds or another GPU"


TOO_NEW = [
    ("Tesla K80", "535.183.01", 470),
    ("GTX 1060", "595.58.03", 580),
    ("Tesla V100-SXM2-32GB", "590.44.01", 580),
    ("GTX 1060", "580.65.06", None),
    ("Tesla T4", "595.58.03", None),
]


@pytest.mark.parametrize(("name", "driver", "branch"), TOO_NEW, ids=[f"{row[0]} {row[1]}" for row in TOO_NEW])
def test_a_driver_that_no_longer_knows_the_gpu_is_no_driver_for_it(name: str, driver: str, branch: int | None) -> None:
    findings = findings_with(cuda_preset("2.0.1+cu117"), "driver-gpu", Target(gpu=name, driver=driver))
    remedy_text = f"install a driver of branch {branch}"
    assert [finding.remedy.startswith(remedy_text) for finding in findings] == ([True] if branch else [])
    if branch is None:
        assert suggest(named_target([name], driver))
        return
    assert has_errors(findings)
    with pytest.raises(XaivaError) as refused:
        suggest(named_target([name], driver))
    assert refused.value.remedy.startswith(remedy_text)


def test_the_way_by_hand_works() -> None:
    by_hand = Target(gpu="sm_61", vram_gib=5, driver="580.65.06")
    assert findings_with(cuda_preset("2.7.1+cu126"), "gpu-unknown", by_hand) == []
    assert has_errors(findings_with(cuda_preset("2.9.1+cu130"), "gpu-architecture", by_hand))
    assert suggest(named_target(["sm_61"], "580.65.06"))[0].torch.endswith("+cu126")


def test_the_command_does_not_say_that_no_wheels_run_on_it(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["--site", str(site.root), "preset", "suggest", "--gpu", "Quadro P2100"])
    error_text = capsys.readouterr().err
    assert code == InputError.exit_code
    assert "Quadro P2100 is not in the tables" in error_text
    assert "wheels" not in error_text


# -- in the console's form

FORM = [
    ("AD102 [GeForce RTX 4090]", "wheels contain code for RTX 4090 (sm_89)"),
    ("GK104M [GeForce GTX 860M]", "GK104M [GeForce GTX 860M] is not in the tables"),
    ("Tesla K40m", "use CPU builds or another GPU"),
]


@pytest.mark.parametrize(("gpu", "words"), FORM, ids=[row[0] for row in FORM])
async def test_the_form_says_the_same(gpu: str, words: str, site: Site) -> None:
    app = XaivaApp(site)
    async with app.run_test(size=(120, 40)) as pilot:
        app.push_screen(SuggestVersions(site, read_only=True))
        await until(pilot, lambda: isinstance(app.screen, SuggestVersions))
        app.screen.query_one("#gpu", Input).value = gpu
        await pilot.press("enter")
        await shows(pilot, words)


# -- memory that the name leaves open: the least is judged, all are said where it matters, any way to say it closes it

OPEN = [
    (Target(gpu="RTX 3060"), "RTX 3060 is sold with 8 or 12 GiB: the check assumes 8 GiB"),
    (Target(gpu="GTX 1060"), "GTX 1060 is sold with 3, 5 or 6 GiB: the check assumes 3 GiB"),
    (Target(gpu="RTX 3060 24GB"), "RTX 3060 is sold with 8 or 12 GiB: the check assumes 8 GiB"),
    (Target(gpu="RTX 4090 48GB"), "RTX 4090 is sold with 24 GiB: the check assumes 24 GiB"),
    (Target(gpu="A100"), ""),
    (Target(gpu="RTX 3060 12GB"), ""),
    (Target(gpu="RTX 3060", vram_gib=12), ""),
    (Target(gpu="RTX 3060 24GB", vram_gib=24), ""),
    (Target(gpu="RTX 3060 Laptop"), ""),
    (Target(gpu="A100 MIG 1g.10gb"), ""),
]


@pytest.mark.parametrize(("target", "what"), OPEN, ids=[f"{row[0].gpu} {row[0].vram_gib or ''}" for row in OPEN])
def test_open_memory_is_said_to_be_open(target: Target, what: str) -> None:
    findings = findings_with(_speech(), "gpu-memory", target)
    assert [finding.what for finding in findings] == ([what] if what else [])


@pytest.mark.parametrize(("gpu", "said"), [("RTX 3060", False), ("RTX 3060 24GB", True), ("RTX 4090 48GB", True)])
def test_open_memory_is_not_said_where_all_fits_into_the_least(gpu: str, said: bool) -> None:
    findings = findings_with(cuda_preset("2.7.1+cu126"), "gpu-memory", Target(gpu=gpu))
    assert [finding.remedy for finding in findings] == ["correct the name, or set `target.vram_gib`"] * said


def test_a_need_between_the_sizes_names_them_all() -> None:
    (finding,) = findings_with(_speech(), "vram", Target(gpu="RTX 3060"))
    assert finding.what.endswith("the GPU has 8 or 12 GiB")


def test_a_suggested_preset_does_not_settle_the_memory() -> None:
    for name, vram in (("RTX 3060", None), ("RTX 3060 12GB", 12), ("RTX 3060 Laptop", 6)):
        target = suggest(named_target([name], "580.65.06"))[0].preset.target
        assert target is not None
        assert target.vram_gib == vram, name


# -- the wheels that follow from it

WHEELS = [
    ("Quadro P2000", "cu126", "cu130"),
    ("Quadro P2000", "cu118", "cu128"),
    ("Quadro M4000", "cu126", "cu128"),
    ("Tesla V100-SXM2-32GB", "cu126", "cu130"),
    ("NVIDIA GeForce RTX 5090 Laptop GPU", "cu128", "cu126"),
    ("GRID T4-16Q", "cu130", ""),
    ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", "cu130", ""),
]


@pytest.mark.parametrize(("name", "runs", "does_not"), WHEELS, ids=[f"{row[0]} {row[1]}" for row in WHEELS])
def test_wheels_follow_the_architecture(name: str, runs: str, does_not: str) -> None:
    assert runs in {suggestion.torch.partition("+")[2] for suggestion in suggest(named_target([name]), limit=10)}
    assert findings_with(cuda_preset(f"2.9.1+{runs}"), "gpu-architecture", Target(gpu=name)) == []
    if does_not:
        assert has_errors(findings_with(cuda_preset(f"2.9.1+{does_not}"), "gpu-architecture", Target(gpu=name)))


# -- on the machine: the driver's word, whatever name it gives

LAST_NAME = "NVIDIA GeForce RTX 4090"
MACHINES = {
    "known": (("gpu rtx4090",), (LAST_NAME, "8.9", 24.0)),
    "unknown-name": (("gpu rtx4090", "name 0 NVIDIA Next 9000"), ("NVIDIA Next 9000", "8.9", 24.0)),
    "wrong-name": (("gpu rtx4090", "name 0 NVIDIA GeForce GTX 1060 3GB"), ("NVIDIA GeForce GTX 1060 3GB", "8.9", 24.0)),
    "ambiguous-name": (("gpu a100", "name 0 RTX 6000"), ("RTX 6000", "8.0", 40.0)),
    "name-of-an-arm-machine": (("gpu gtx1060", "name 0 Orin (nvgpu)"), ("Orin (nvgpu)", "6.1", 6.0)),
    "other-memory": (("gpu rtx4090", f"memory 0 {48 << 30}"), (LAST_NAME, "8.9", 48.0)),
    "no-memory": (("gpu rtx4090", "memory 0 0"), (LAST_NAME, "8.9", None)),
    "no-capability": (("gpu rtx4090", "capability 0 0 0"), (LAST_NAME, "", None)),
    "next-architecture": (("gpu rtx4090", "capability 0 14 0"), (LAST_NAME, "14.0", 24.0)),
    "vgpu-guest": (("gpu rtx4090", "name 0 NVIDIA L40S-8Q", f"memory 0 {8 << 30}"), ("NVIDIA L40S-8Q", "8.9", 8.0)),
    "unlisted-vgpu": (("gpu rtx4090", "name 0 NVIDIA RTX9999-8Q"), ("NVIDIA RTX9999-8Q", "8.9", 24.0)),
    "divided": (("gpu h100-mig",), ("NVIDIA H100 80GB HBM3", "9.0", None)),
    "lost": (("gpu rtx4090", "lost 0"), ("GPU 0", "", None)),
    "silent": (("init 9",), ("NVIDIA GeForce GTX 1060 6GB", "", None)),
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """A machine whose driver is the fake one; its files in /proc name a GTX 1060."""
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  x\n")
    information = tmp_path / "gpus" / "0000:01:00.0" / "information"
    information.parent.mkdir(parents=True)
    information.write_text("Model: \t\t NVIDIA GeForce GTX 1060 6GB\n")
    monkeypatch.setattr("core.presets.compat.machine._VERSION_FILES", (tmp_path / "version",))
    monkeypatch.setattr("core.presets.compat.machine._GPU_FOLDER", tmp_path / "gpus")
    fake = FakeNvml(tmp_path)
    for name, value in fake.env.items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.mark.parametrize("case", MACHINES)
def test_the_driver_decides(case: str, machine: FakeNvml) -> None:
    directives, expected = MACHINES[case]
    machine.say(*directives)
    target = host_target(FACTS)
    assert target is not None
    (gpu,) = target.gpus
    assert (gpu.name, gpu.sm, gpu.vram_gib) == expected
    assert not gpu.vram_choices
    assert not gpu.aarch64
    unknown = [finding for finding in check(cuda_preset("2.7.1+cu126"), target) if finding.code == "gpu-unknown"]
    assert bool(unknown) == (not gpu.sm)
    assert all("not in the tables" not in finding.what for finding in unknown)


@pytest.mark.parametrize("case", ["unknown-name", "wrong-name", "ambiguous-name"])
def test_what_is_suggested_for_this_machine_holds_when_its_preset_is_checked(case: str, machine: FakeNvml) -> None:
    machine.say(*MACHINES[case][0])
    target = host_target(FACTS)
    assert target is not None
    best = suggest(target)[0].preset
    assert best.target is not None
    assert find_gpu(best.target.gpu, FACTS).sm == target.gpus[0].sm
    assert best.target.vram_gib == target.vram_gib
    assert not has_errors(check(best))


def _speech() -> Preset:
    """A preset that needs more than 8 GiB."""
    return cuda_preset("2.7.1+cu126", layers=[{"name": "speech", "requirements": ["faster-whisper", "whisperx"]}])

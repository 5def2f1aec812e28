"""A GPU whose name is like another's is another GPU: form factor, generation and memory are part of the name.

It holds wherever a GPU is named (a preset's `target`, `--gpu`, the console's forms), for the table of GPUs itself, and
on the machine, where the driver says what the GPU is and its name decides nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widgets import Input

from core.cli.app import run
from core.errors import InputError, XaivaError
from core.findings import Finding, has_errors
from core.presets.compat import check, find_gpu, host_target, load_facts, named_target, suggest
from core.presets.compat.facts import DATA
from core.presets.model import Preset, Target
from core.site import Site
from tests.support.fake_nvml import FakeNvml
from tests.tui.support import shows, until
from tui.app import XaivaApp
from tui.screens.target_dialogs import SuggestVersions

FACTS = load_facts()

# -- what nvidia-smi prints: architecture and memory, as `8 12` where the name leaves it open

PRINTED = [
    # GeForce: desktop, laptop, Max-Q
    ("GeForce GTX 680", "3.0", "2"),
    ("GeForce GTX TITAN Black", "3.5", "6"),
    ("GeForce GTX 780", "3.5", "3 6"),
    ("NVIDIA GeForce 940MX", "5.0", "1 2 4"),
    ("NVIDIA GeForce GTX 750 Ti", "5.0", "2"),
    ("NVIDIA GeForce GTX 960", "5.2", "2 3 4"),
    ("NVIDIA GeForce GTX 960M", "5.0", "2 4"),
    ("NVIDIA GeForce GTX 980 Ti", "5.2", "6"),
    ("NVIDIA GeForce GTX TITAN X", "5.2", "12"),
    ("NVIDIA GeForce GT 1030", "6.1", "2 4"),
    ("NVIDIA GeForce GTX 1060", "6.1", "3 5 6"),
    ("NVIDIA GeForce GTX 1060 3GB", "6.1", "3"),
    ("NVIDIA GeForce GTX 1060 6GB", "6.1", "6"),
    ("GeForce GTX 1060 6GB", "6.1", "6"),
    ("NVIDIA GeForce GTX 1080 with Max-Q Design", "6.1", "8"),
    ("NVIDIA GeForce GTX 1080 Ti", "6.1", "11"),
    ("NVIDIA GeForce MX150", "6.1", "2 4"),
    ("NVIDIA GeForce MX350", "6.1", "2"),
    ("NVIDIA GeForce MX450", "7.5", "2"),
    ("NVIDIA GeForce MX570", "8.6", "2"),
    ("NVIDIA GeForce GTX 1650 with Max-Q Design", "7.5", "4"),
    ("NVIDIA GeForce GTX 1660 SUPER", "7.5", "6"),
    ("NVIDIA GeForce RTX 2060", "7.5", "6 12"),
    ("NVIDIA GeForce RTX 2070 Super with Max-Q Design", "7.5", "8"),
    ("NVIDIA GeForce RTX 2080 Ti", "7.5", "11"),
    ("NVIDIA GeForce RTX 2050", "8.6", "4"),
    ("NVIDIA GeForce RTX 3050", "8.6", "6 8"),
    ("NVIDIA GeForce RTX 3050 6GB Laptop GPU", "8.6", "6"),
    ("NVIDIA GeForce RTX 3050 A Laptop GPU", "8.9", "4"),
    ("NVIDIA GeForce RTX 3060", "8.6", "8 12"),
    ("NVIDIA GeForce RTX 3060 Laptop GPU", "8.6", "6"),
    ("NVIDIA GeForce RTX 3080", "8.6", "10 12"),
    ("NVIDIA GeForce RTX 3080 Laptop GPU", "8.6", "8 16"),
    ("NVIDIA GeForce RTX 3080 Ti Laptop GPU", "8.6", "16"),
    ("NVIDIA GeForce RTX 4060 Ti", "8.9", "8 16"),
    ("NVIDIA GeForce RTX 4070 Laptop GPU", "8.9", "8"),
    ("NVIDIA GeForce RTX 4070 Ti SUPER", "8.9", "16"),
    ("NVIDIA GeForce RTX 4080 Laptop GPU", "8.9", "12"),
    ("NVIDIA GeForce RTX 4090", "8.9", "24"),
    ("NVIDIA GeForce RTX 4090 D", "8.9", "24"),
    ("NVIDIA GeForce RTX 4090 Laptop GPU", "8.9", "16"),
    ("NVIDIA GeForce RTX 5060 Ti", "12.0", "8 16"),
    ("NVIDIA GeForce RTX 5070 Ti Laptop GPU", "12.0", "12"),
    ("NVIDIA GeForce RTX 5090", "12.0", "32"),
    ("NVIDIA GeForce RTX 5090 D v2", "12.0", "24"),
    ("NVIDIA GeForce RTX 5090 Laptop GPU", "12.0", "24"),
    # TITAN
    ("NVIDIA TITAN X (Pascal)", "6.1", "12"),
    ("NVIDIA TITAN Xp", "6.1", "12"),
    ("NVIDIA TITAN V", "7.0", "12"),
    ("NVIDIA TITAN RTX", "7.5", "24"),
    # Quadro and NVIDIA RTX: workstation, laptop, Max-Q, SFF, embedded
    ("Quadro K2200", "5.0", "4"),
    ("Quadro M6000 24GB", "5.2", "24"),
    ("Quadro P2000", "6.1", "4 5"),
    ("Quadro P5200 with Max-Q Design", "6.1", "16"),
    ("Quadro GP100", "6.0", "16"),
    ("Quadro GV100", "7.0", "32"),
    ("Quadro T1000", "7.5", "4"),
    ("Quadro RTX 4000", "7.5", "8"),
    ("Quadro RTX 5000 with Max-Q Design", "7.5", "16"),
    ("NVIDIA T1000", "7.5", "4 8"),
    ("NVIDIA T1000 8GB", "7.5", "8"),
    ("NVIDIA T400 4GB", "7.5", "4"),
    ("NVIDIA T1200 Laptop GPU", "7.5", "4"),
    ("NVIDIA RTX A2000", "8.6", "6 12"),
    ("NVIDIA RTX A2000 12GB", "8.6", "12"),
    ("NVIDIA RTX A2000 8GB Laptop GPU", "8.6", "8"),
    ("NVIDIA RTX A3000 12GB Laptop GPU", "8.6", "12"),
    ("NVIDIA RTX A4500 Embedded GPU", "8.6", "16"),
    ("NVIDIA RTX A5000", "8.6", "24"),
    ("NVIDIA RTX A5000 Laptop GPU", "8.6", "16"),
    ("NVIDIA RTX 2000 Ada Generation", "8.9", "16"),
    ("NVIDIA RTX 2000 Ada Generation Laptop GPU", "8.9", "8"),
    ("NVIDIA RTX 4000 SFF Ada Generation", "8.9", "20"),
    ("NVIDIA RTX 5000 Ada Generation", "8.9", "32"),
    ("NVIDIA RTX 5000 Ada Generation Laptop GPU", "8.9", "16"),
    ("NVIDIA RTX PRO 2000 Blackwell", "12.0", "16"),
    ("NVIDIA RTX PRO 4000 Blackwell SFF Edition", "12.0", "24"),
    ("NVIDIA RTX PRO 5000 Blackwell", "12.0", "48 72"),
    ("NVIDIA RTX PRO 5000 72GB Blackwell", "12.0", "72"),
    ("NVIDIA RTX PRO 5000 Blackwell Generation Laptop GPU", "12.0", "24"),
    ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "12.0", "96"),
    ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "12.0", "96"),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0", "96"),
    ("NVIDIA RTX PRO 4500 Blackwell Server Edition", "12.0", "32"),
    ("Quadro K4200", "3.0", "4"),
    # Servers
    ("Tesla M10", "5.0", "8"),
    ("Tesla M40 24GB", "5.2", "24"),
    ("Tesla P4", "6.1", "8"),
    ("Tesla P40", "6.1", "24"),
    ("Tesla P100-PCIE-12GB", "6.0", "12"),
    ("Tesla V100-SXM2-32GB", "7.0", "32"),
    ("Tesla V100-PCIE-16GB", "7.0", "16"),
    ("Tesla V100S-PCIE-32GB", "7.0", "32"),
    ("Tesla T4", "7.5", "16"),
    ("NVIDIA A100-SXM4-40GB", "8.0", "40"),
    ("NVIDIA A100-SXM-64GB", "8.0", "64"),
    ("NVIDIA A100 80GB PCIe", "8.0", "80"),
    ("NVIDIA A30", "8.0", "24"),
    ("NVIDIA A2", "8.6", "16"),
    ("NVIDIA A10", "8.6", "24"),
    ("NVIDIA A10G", "8.6", "24"),
    ("NVIDIA A16", "8.6", "16"),
    ("NVIDIA A40", "8.6", "48"),
    ("NVIDIA L4", "8.9", "24"),
    ("NVIDIA L40", "8.9", "48"),
    ("NVIDIA L40S", "8.9", "48"),
    ("NVIDIA H100 80GB HBM3", "9.0", "80"),
    ("NVIDIA H100 PCIe", "9.0", "80"),
    ("NVIDIA H100 NVL", "9.0", "94"),
    ("NVIDIA H20-3e", "9.0", "141"),
    ("NVIDIA H200", "9.0", "141"),
    ("NVIDIA B200", "10.0", "180"),
    ("NVIDIA B300 SXM6 AC", "10.3", "269"),
    ("Tesla K80", "3.7", "12"),
    ("Tesla K40m", "3.5", "12"),
    ("Tesla T40 24GB", "7.5", "24"),
    ("Tesla PG503-216", "7.0", "32"),
    ("NVIDIA A100-PG509-200", "8.0", "40"),
    ("NVIDIA CMP 100-210", "7.0", "16"),
    # Beside an Arm processor
    ("NVIDIA GH200 480GB", "9.0", "96"),
    ("NVIDIA GH200 144G HBM3e", "9.0", "144"),
    ("NVIDIA GB200", "10.0", "186"),
    ("NVIDIA GB10", "12.1", "128"),
    ("Orin (nvgpu)", "8.7", "4 8 16 32 64"),
    ("NVIDIA Jetson AGX Orin", "8.7", "32 64"),
    ("NVIDIA Thor", "11.0", "64 128"),
    # in /proc/device-tree/model
    ("NVIDIA Jetson Nano 2GB Developer Kit", "5.3", "2"),
    ("NVIDIA Jetson TX2 NX Developer Kit", "6.2", "4 8"),
    ("Jetson-AGX", "7.2", "16 32"),
    ("NVIDIA Jetson Xavier NX Developer Kit (SD-card)", "7.2", "8 16"),
    ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "8.7", "4 8"),
    ("NVIDIA Orin NX Developer Kit", "8.7", "8 16"),
    ("NVIDIA Jetson AGX Orin Developer Kit", "8.7", "32 64"),
    ("NVIDIA Jetson AGX Thor Developer Kit", "11.0", "128"),
    # MIG slices
    ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", "8.0", "20"),
    ("NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb", "8.0", "20"),
    ("NVIDIA A100 80GB PCIe MIG 1g.10gb", "8.0", "10"),
    ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "8.0", "10"),
    ("NVIDIA A30 MIG 2g.12gb+me", "8.0", "12"),
    ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "9.0", "10"),
    ("NVIDIA B200 MIG 1g.23gb", "10.0", "23"),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 1g.24gb", "12.0", "24"),
    # vGPU profiles
    ("GRID M10-0Q", "5.0", "0.5"),
    ("GRID P100X-16C", "6.0", "16"),
    ("GRID V100D-8C", "7.0", "8"),
    ("GRID V100DX-32Q", "7.0", "32"),
    ("GRID T4-16Q", "7.5", "16"),
    ("GRID T4-2B4", "7.5", "2"),
    ("GRID RTX6000P-24C", "7.5", "24"),
    ("GRID A100X-1-5CME", "8.0", "5"),
    ("NVIDIA A16-4C", "8.6", "4"),
    ("NVIDIA A40-48Q", "8.6", "48"),
    ("NVIDIA RTXA6000-12Q", "8.6", "12"),
    ("NVIDIA RTX6000-Ada-48Q", "8.9", "48"),
    ("NVIDIA L40S-8Q", "8.9", "8"),
    ("NVIDIA H100XM-80C", "9.0", "80"),
    ("NVIDIA RTX Pro 6000 Blackwell DC-2-24Q", "12.0", "24"),
]


@pytest.mark.parametrize(("name", "sm", "vram"), PRINTED, ids=[row[0] for row in PRINTED])
def test_as_nvidia_smi_prints_it(name: str, sm: str, vram: str) -> None:
    _is(name, sm, vram)


# -- lines that people paste: nvidia-smi, lspci (its names and chips are a second source), glxinfo, /proc, Kubernetes

PASTED = [
    ("GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-b1028956-cfa2-0990-bf4a-5da9abb51763)", "8.0", "40"),
    ("GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d)\n  MIG 3g.20gb     Device  0: (UUID: MIG-c7)", "8.0", "20"),
    ("GPU 1: NVIDIA GeForce RTX 4090 Laptop GPU (UUID: GPU-fef8089b)", "8.9", "16"),
    ("GPU 0: GRID T4-16Q (UUID: GPU-fef8089b)", "7.5", "16"),
    ("GPU 0: Orin (nvgpu) (UUID: 54b1a3a2)", "8.7", "4 8 16 32 64"),
    ("|   0  NVIDIA GeForce RTX 4090        Off |   00000000:01:00.0 Off |                  Off |", "8.9", "24"),
    ("NVIDIA GeForce RTX 4090, 8.9, 24564 MiB", "8.9", "24"),
    ("0, GPU-5d2c, NVIDIA GeForce RTX 4090, 49140 MiB", "8.9", "48"),
    ("NVIDIA GB10, 12.1, [N/A]", "12.1", "128"),
    ("NVIDIA Next 9000, 14.0, 65536 MiB", "14.0", "64"),
    ("NVIDIA GeForce GTX 1060, 8.9", "8.9", ""),
    ("8.6, 12288 MiB", "8.6", "12"),
    ("Product Name                          : NVIDIA A10", "8.6", "24"),
    ("Model: \t\t NVIDIA GeForce GTX 1060 6GB", "6.1", "6"),
    ("01:00.0 VGA compatible controller: NVIDIA Corporation AD102 [GeForce RTX 4090] (rev a1)", "8.9", "24"),
    ("01:00.0 3D controller [0302]: NVIDIA Corporation GA100 [A100 SXM4 80GB] [10de:20b2] (rev a1)", "8.0", "80"),
    ("NVIDIA Corporation AD103M / GN21-X11 [GeForce RTX 4090 Laptop GPU] (rev a1)", "8.9", "16"),
    ("GA106M [GeForce RTX 3060 Mobile / Max-Q]", "8.6", "6"),
    ("GA104M [GeForce RTX 3080 Mobile / Max-Q 8GB/16GB]", "8.6", "8 16"),
    ("GB206M [GeForce RTX 5070 Max-Q / Mobile]", "12.0", "8"),
    ("TU102GL [Quadro RTX 6000/8000]", "7.5", "24 48"),
    ("TU102 [GeForce RTX 2080 Ti Rev. A]", "7.5", "11"),
    ("GA104 [GeForce RTX 3060 Ti Lite Hash Rate]", "8.6", "8"),
    ("GV100GL [Tesla V100 SXM2 32GB]", "7.0", "32"),
    ("GK104M [GeForce GTX 860M]", "", ""),
    ("GK107 [GeForce GT 1030]", "", ""),
    ("AD102 [GeForce RTX 9090]", "", ""),
    ("NVIDIA Corporation Device 2684 (rev a1)", "", ""),
    ("NVIDIA GeForce RTX 3060 Laptop GPU/PCIe/SSE2", "8.6", "6"),
    ("NVIDIA-GeForce-RTX-4090", "8.9", "24"),
    ("Tesla-T4-SHARED", "7.5", "16"),
    ("nvidia-h100-mega-80gb", "9.0", "80"),
    ("4x NVIDIA L40S", "8.9", "48"),
    ("RTX 4090, RTX 3060", "", ""),
]


@pytest.mark.parametrize(("line", "sm", "vram"), PASTED, ids=[row[0] for row in PASTED])
def test_a_pasted_line_is_read_to_the_name(line: str, sm: str, vram: str) -> None:
    _is(line, sm, vram)


def test_what_is_made_of_a_pasted_line_holds_when_it_is_checked() -> None:
    for line, sm, vram in PASTED[::4]:
        target = named_target([line], "580.65.06")
        if not sm or target.gpus[0].aarch64:
            continue
        preset = suggest(target)[0].preset
        assert preset.target is not None
        assert find_gpu(preset.target.gpu, FACTS).sm == sm, line
        assert preset.target.vram_gib == (float(vram) if vram and " " not in vram else None), line


# -- how people write them

WRITTEN = [
    ("rtx 4090 laptop", "8.9", "16"),
    ("RTX4090", "8.9", "24"),
    ("4090", "8.9", "24"),
    ("4090 mobile", "8.9", "16"),
    ("GeForce RTX 4090 Notebook", "8.9", "16"),
    ("rtx-3060", "8.6", "8 12"),
    ("3060 12GB", "8.6", "12"),
    ("RTX 3060 8 GB", "8.6", "8"),
    ("3080 Max-Q", "8.6", "8 16"),
    ("4060 Ti 16 GiB", "8.9", "16"),
    ("1080 ti", "6.1", "11"),
    ("1080Ti", "6.1", "11"),
    ("GTX 1060 laptop", "6.1", "3 6"),
    ("970", "5.2", "4"),
    ("gtx 1660ti max-q", "7.5", "6"),
    ("quadro p2000", "6.1", "4 5"),
    ("P2000", "6.1", "4 5"),
    ("T1000 8GB", "7.5", "8"),
    ("A2000", "8.6", "6 12"),
    ("A5000 laptop", "8.6", "16"),
    ("Quadro RTX A6000", "8.6", "48"),
    ("RTX 6000 Ada", "8.9", "48"),
    ("RTX PRO 6000", "12.0", "96"),
    ("RTX PRO 6000 Max-Q", "12.0", "96"),
    ("titan xp", "6.1", "12"),
    ("A100", "8.0", "40 80"),
    ("A100 40GB", "8.0", "40"),
    ("A100 SXM", "8.0", "40 80"),
    ("V100 32GB", "7.0", "32"),
    ("H100", "9.0", "80 94 96"),
    ("GH200", "9.0", "96 144"),
    ("DGX Spark", "12.1", "128"),
    ("Jetson Orin Nano 8GB", "8.7", "8"),
    ("A100 MIG 3g.20gb", "8.0", "20"),
    ("H100 1g.10gb", "9.0", "10"),
    ("T4-8Q", "7.5", "8"),
    ("RTX TITAN", "7.5", "24"),
    ("RTX 4090 Founders Edition", "8.9", "24"),
    ("DGX A100", "8.0", "40 80"),
    ("A100-SXM4-80GB (MIG 1g.10gb)", "8.0", "10"),
    ("nvidia_a100_80gb_mig_3g.40gb", "8.0", "40"),
    ("RTX 2080S", "7.5", "8"),
    ("4070 Ti Super", "8.9", "16"),
    ("RTX 4060M", "8.9", "8"),
    ("GTX 980M", "5.2", "8"),
    ("RTX 3060 12G", "8.6", "12"),
    ("RTX 3060 (12288 MiB)", "8.6", "12"),
    ("RTX 3060 12288MB", "8.6", "12"),
    ("NVIDIA_A100_SXM4_80GB", "8.0", "80"),
    ("NVIDIA(R) GeForce(R) RTX 4090 24 GB GDDR6X", "8.9", "24"),
    ("RTX 4090 graphics card", "8.9", "24"),
    ("RTX 6000 Ada Lovelace", "8.9", "48"),
    ("RTX 6000 Pro Blackwell", "12.0", "96"),
    ("RTX 6000 Blackwell", "12.0", "96"),
    ("Quadro T600", "7.5", "4"),
    ("NVIDIA GB200 NVL72", "10.0", "186"),
    ("tegra x1", "5.3", "2 4"),
    ("sm_86", "8.6", ""),
    ("compute capability 8.6", "8.6", ""),
    ("cc 8.6", "8.6", ""),
    ("sm-86", "8.6", ""),
    ("sm_140", "14.0", ""),
    ("sm86", "8.6", ""),
    ("compute_90a", "9.0", ""),
    ("12.0", "12.0", ""),
]


@pytest.mark.parametrize(("name", "sm", "vram"), WRITTEN, ids=[row[0] for row in WRITTEN])
def test_as_people_write_it(name: str, sm: str, vram: str) -> None:
    _is(name, sm, vram)


def _is(name: str, sm: str, vram: str) -> None:
    gpu = find_gpu(name, FACTS)
    sizes = [float(size) for size in vram.split()]
    assert (gpu.sm, gpu.vram_gib) == (sm, sizes[0] if sizes else None)
    assert list(gpu.vram_choices) == (sizes if len(sizes) > 1 else [])


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
    (finding,) = _findings(cuda_preset("2.7.1+cu126"), "gpu-unknown", Target(gpu=name))
    assert target.gpus[0].name in finding.what
    assert finding.remedy.startswith(remedy)
    assert '"gpu": "sm_86", "vram_gib": 8' in finding.remedy
    with pytest.raises(InputError) as refused:
        suggest(target)
    assert (refused.value.what, refused.value.remedy) == (finding.what, finding.remedy)


@pytest.mark.parametrize("name", ["Radeon RX 7900", "AMD Instinct MI300X", "Intel Arc A770", "Apple M4", "gfx1030"])
def test_another_makers_gpu_gets_no_architecture_to_write(name: str) -> None:
    (finding,) = _findings(cuda_preset("2.7.1+cu126"), "gpu-unknown", Target(gpu=name))
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
    (finding,) = _findings(cuda_preset(torch), "gpu-architecture", Target(gpu=name))
    assert finding.remedy.startswith(remedy if not tag else f"wheels with {tag} run on it")
    (no_tensorrt,) = _findings(cuda_preset("2.1.0+cu118", **tensorrt), "tensorrt-gpu", Target(gpu=name))
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
    findings = _findings(cuda_preset("2.0.1+cu117"), "driver-gpu", Target(gpu=name, driver=driver))
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
    assert _findings(cuda_preset("2.7.1+cu126"), "gpu-unknown", by_hand) == []
    assert has_errors(_findings(cuda_preset("2.9.1+cu130"), "gpu-architecture", by_hand))
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
    findings = _findings(_speech(), "gpu-memory", target)
    assert [finding.what for finding in findings] == ([what] if what else [])


@pytest.mark.parametrize(("gpu", "said"), [("RTX 3060", False), ("RTX 3060 24GB", True), ("RTX 4090 48GB", True)])
def test_open_memory_is_not_said_where_all_fits_into_the_least(gpu: str, said: bool) -> None:
    findings = _findings(cuda_preset("2.7.1+cu126"), "gpu-memory", Target(gpu=gpu))
    assert [finding.remedy for finding in findings] == ["correct the name, or set `target.vram_gib`"] * said


def test_a_need_between_the_sizes_names_them_all() -> None:
    (finding,) = _findings(_speech(), "vram", Target(gpu="RTX 3060"))
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
    assert _findings(cuda_preset(f"2.9.1+{runs}"), "gpu-architecture", Target(gpu=name)) == []
    if does_not:
        assert has_errors(_findings(cuda_preset(f"2.9.1+{does_not}"), "gpu-architecture", Target(gpu=name)))


# -- on the machine: the driver's word, whatever name it gives

LAST_NAME = "NVIDIA GeForce RTX 4090"
MACHINES = {
    "known": (("gpu rtx4090",), (LAST_NAME, "8.9", 24.0)),
    "unknown-name": (("gpu rtx4090", "name 0 NVIDIA Next 9000"), ("NVIDIA Next 9000", "8.9", 24.0)),
    "contradicting-name": (
        ("gpu rtx4090", "name 0 NVIDIA GeForce GTX 1060 3GB"),
        ("NVIDIA GeForce GTX 1060 3GB", "8.9", 24.0),
    ),
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


@pytest.mark.parametrize("case", ["unknown-name", "contradicting-name", "ambiguous-name"])
def test_what_is_suggested_for_this_machine_holds_when_its_preset_is_checked(case: str, machine: FakeNvml) -> None:
    machine.say(*MACHINES[case][0])
    target = host_target(FACTS)
    assert target is not None
    best = suggest(target)[0].preset
    assert best.target is not None
    assert find_gpu(best.target.gpu, FACTS).sm == target.gpus[0].sm
    assert best.target.vram_gib == target.vram_gib
    assert not has_errors(check(best))


# -- the table itself


def test_every_row_says_where_architecture_and_memory_are_from() -> None:
    for row in FACTS.gpus.values():
        assert row.source, row.key
        assert row.vram_source, row.key
    sources = json.loads((DATA / "gpus.json").read_text())["sources"]
    assert set(sources) == {"driver", "TechPowerUp", "pci.ids"}


def test_no_name_of_the_table_means_another_row() -> None:
    for row in FACTS.gpus.values():
        for name in (row.key, *row.aliases):
            gpu = find_gpu(name, FACTS)
            assert (gpu.name, gpu.sm, gpu.vram_gib) == (row.key, row.sm, row.vram_gib[0]), name


def test_a_sites_own_row_counts(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"key": "RTX 9090", "sm": "8.6", "vram_gib": 64, "brand": "geforcertx", "nvenc": True}
    (site.docker / "compat").mkdir(parents=True)
    rows = {"rows": [{**row, "source": "ours", "verified_on": "2026-11-29"}]}
    (site.docker / "compat" / "gpus.json").write_text(json.dumps(rows))
    gpu = find_gpu("rtx9090", load_facts(site.docker / "compat"))
    assert (gpu.sm, gpu.vram_gib, gpu.vram_choices) == ("8.6", 64, ())
    assert run(["--site", str(site.root), "preset", "suggest", "--gpu", "RTX 9090"]) == 0
    assert "RTX 9090 (sm_86)" in capsys.readouterr().out


def _speech() -> Preset:
    """A preset that needs more than 8 GiB."""
    return cuda_preset("2.7.1+cu126", layers=[{"name": "speech", "requirements": ["faster-whisper", "whisperx"]}])


def cuda_preset(torch: str, **fields: object) -> Preset:
    base = {"base_image": "ubuntu:24.04", "python_version": "3.12", "pytorch": {"version": torch}}
    return Preset.model_validate({**base, **fields})


def _findings(preset: Preset, code: str, target: Target) -> list[Finding]:
    with_target = preset.model_copy(update={"target": target})
    return [finding for finding in check(with_target) if finding.code == code]

"""A GPU whose name is like another's is another GPU: form factor, generation and memory are part of the name.

It holds for every way to name one and for the table of GPUs itself; `test_gpu_findings.py` has what follows from it.
"""

from __future__ import annotations

import json

import pytest

from core.cli.app import run
from core.presets.compat import find_gpu, load_facts, named_target, suggest
from core.presets.compat.facts import DATA
from core.site import Site

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
GPUS = [*PRINTED, *PASTED, *WRITTEN]


@pytest.mark.parametrize(("name", "sm", "vram"), GPUS, ids=[row[0] for row in GPUS])
def test_a_name_however_it_is_given(name: str, sm: str, vram: str) -> None:
    gpu = find_gpu(name, FACTS)
    sizes = [float(size) for size in vram.split()]
    assert (gpu.sm, gpu.vram_gib) == (sm, sizes[0] if sizes else None)
    assert list(gpu.vram_choices) == (sizes if len(sizes) > 1 else [])


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

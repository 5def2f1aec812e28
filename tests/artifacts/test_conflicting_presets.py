"""Services of the shipped stack whose requirements no single environment can meet: each has a preset of its own."""

from __future__ import annotations

import os

import pytest

from core.artifacts.resolve import ResolveRequest, resolve
from core.artifacts.uv_errors import ResolutionConflict
from core.presets.store import load_named
from core.progress import NullProgress
from core.site import Site
from tests.docs.pages import ROOT

BACKEND, VIDEO_ANALYSIS = "api-backend-cpu", "video-analysis-cpu"


def _resolve(*presets: str) -> None:
    """Look up one environment for all layers of these presets."""
    site = Site.open(ROOT)
    layers = [
        (f"{preset}-{layer.name}", list(layer.requirements))
        for preset in presets
        for layer in load_named(site, preset).layers
    ]
    request = ResolveRequest("-".join(presets), layers, [], [], "3.11", "x86_64-manylinux_2_36")
    resolve(request, os.environ, {}, NullProgress())


@pytest.mark.index
def test_opencv_and_tensorflow_need_environments_of_their_own() -> None:
    _resolve(BACKEND)
    _resolve(VIDEO_ANALYSIS)
    with pytest.raises(ResolutionConflict, match="numpy"):
        _resolve(BACKEND, VIDEO_ANALYSIS)

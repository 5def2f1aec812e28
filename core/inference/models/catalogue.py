"""The registry of models by name: the key in the pool, and how the model is created."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from core.errors import InputError
from core.inference.models.bank import BankStore
from core.inference.models.detector import Detector
from core.inference.models.features import BATCH as AT_ONCE
from core.inference.models.features import PatchFeatures, network_sha256
from core.inference.models.memory import MemoryDetector
from core.inference.models.motion import MotionDetector
from core.inference.models.onnx import BATCH, OnnxDetector, model_path, relative_name
from core.inference.models.persons import FactFinder
from core.inference.models.providers import Choice, choose
from core.inference.resources.pool import MIB, ModelSpec
from core.inference.schemas import Detection
from core.inference.settings import ServiceSettings

MOTION, MEMORY, ONNX, PERSONS = "motion", "memory", "onnx", "persons"


def types() -> list[str]:
    """What `Detection.detector` may be."""
    return [MOTION, MEMORY, ONNX]


def key_of(detection: Detection) -> str:
    """The pool's key of what a camera is scored by: cameras of one key share a model.

    Raises InputError for a detector that there is not, and for a `model` that cannot be one.
    """
    if detection.detector == ONNX:
        return f"{ONNX}:{relative_name(detection.model)}"
    if detection.detector not in types():
        raise InputError(f"Detector {detection.detector}", "there is none of that name", f"use {', '.join(types())}")
    if detection.model:
        why = "detection.model is given, which only onnx takes"
        raise InputError(f"Detector {detection.detector}", why, "leave it empty, or use onnx")
    return detection.detector


def spec_of(detection: Detection, settings: ServiceSettings) -> ModelSpec[Detector]:
    """How the detector of `key_of(detection)` comes to be. Raises InputError also for files that are not there."""
    key = key_of(detection)
    if key == MOTION:
        return ModelSpec(make=MotionDetector, declared=MIB, max_batch=16, max_wait=0)
    if key == MEMORY:
        return cast("ModelSpec[Detector]", memory_spec(settings))
    path = model_path(settings.models, detection.model)
    declared = 100 * MIB + 3 * path.stat().st_size  # its weights, and what they are multiplied with
    return ModelSpec(make=lambda: OnnxDetector(path, _choice(settings)), declared=declared, max_batch=BATCH)


def persons_spec(settings: ServiceSettings) -> ModelSpec[FactFinder]:
    """How the finder of persons and vehicles comes to be; its key is PERSONS."""
    return ModelSpec(make=lambda: FactFinder(_choice(settings)), declared=150 * MIB)


def memory_spec(settings: ServiceSettings) -> ModelSpec[MemoryDetector]:
    """How the memory detector comes to be; its key is MEMORY."""

    def make() -> MemoryDetector:
        return MemoryDetector(PatchFeatures(_choice(settings)), bank_store(settings))

    return ModelSpec(make=make, declared=200 * MIB, max_batch=AT_ONCE)


def bank_store(settings: ServiceSettings) -> BankStore:
    """Where the memory detector's banks are."""
    return BankStore(settings.data / "banks", network_sha256())


def _choice(settings: ServiceSettings) -> Choice:
    """What models run on; the data folder is the one place of an image that may be written."""
    return replace(choose(settings.onnx_provider), engines=settings.data / "tensorrt")

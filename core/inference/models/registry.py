"""The registry of models: the key in the pool for each detector, and how its model is created."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from core.api_schema import Detection
from core.errors import InputError
from core.inference.model_pool.pool import ModelSpec
from core.inference.models.camera_product_banks import ProductBanks
from core.inference.models.detector import Detector
from core.inference.models.execution_providers import ExecutionProvider, select_provider
from core.inference.models.features import FEATURE_BATCH, PatchFeatures, network_sha256
from core.inference.models.memory_bank import BankStore
from core.inference.models.motion_detector import MotionDetector
from core.inference.models.object_detector import ObjectDetector
from core.inference.models.onnx_detector import OnnxDetector
from core.inference.models.onnx_input import MAX_BATCH, model_path, relative_name
from core.inference.models.patchcore import PatchCoreDetector
from core.inference.settings import MIB, ServiceSettings

MOTION, MEMORY, ONNX, PERSONS = "motion", "memory", "onnx", "persons"


def detector_types() -> list[str]:
    """The allowed values of `Detection.detector`."""
    return [MOTION, MEMORY, ONNX]


def model_key(detection: Detection) -> str:
    """The pool's key of a camera's detector; cameras with the same key share a model.

    Raises InputError for an unknown detector, or an invalid `model` or `product`.
    """
    if detection.product and detection.detector in (MOTION, ONNX):
        why = "detection.product is set, but only memory uses it"
        raise InputError(f"Detector {detection.detector}", why, "leave it empty, or use memory")
    if detection.detector == ONNX:
        return f"{ONNX}:{relative_name(detection.model)}"
    if detection.detector not in detector_types():
        raise InputError(
            f"Detector {detection.detector}", "there is no such detector", f"use {', '.join(detector_types())}"
        )
    if detection.model:
        why = "detection.model is set, but only onnx uses it"
        raise InputError(f"Detector {detection.detector}", why, "leave it empty, or use onnx")
    return detection.detector


def detector_spec(detection: Detection, settings: ServiceSettings) -> ModelSpec[Detector]:
    """How to create the detector of `model_key(detection)`. Raises InputError, also for missing files."""
    key = model_key(detection)
    if key == MOTION:
        return ModelSpec(make=MotionDetector, declared=MIB, max_batch=16, max_wait=0)
    if key == MEMORY:
        return cast("ModelSpec[Detector]", patchcore_spec(settings))
    path = model_path(settings.models, detection.model)
    declared = 100 * MIB + 3 * path.stat().st_size  # weights and activations
    return ModelSpec(
        make=lambda: OnnxDetector(path, execution_provider(settings)), declared=declared, max_batch=MAX_BATCH
    )


def object_detector_spec(settings: ServiceSettings) -> ModelSpec[ObjectDetector]:
    """How to create the detector of persons and vehicles; its key is PERSONS."""
    return ModelSpec(make=lambda: ObjectDetector(execution_provider(settings)), declared=150 * MIB)


def patchcore_spec(settings: ServiceSettings) -> ModelSpec[PatchCoreDetector]:
    """How to create the PatchCore detector; its key is MEMORY."""

    def make() -> PatchCoreDetector:
        return PatchCoreDetector(
            PatchFeatures(execution_provider(settings)), bank_store(settings), ProductBanks(settings)
        )

    return ModelSpec(make=make, declared=200 * MIB, max_batch=FEATURE_BATCH)


def bank_store(settings: ServiceSettings) -> BankStore:
    """The store of the cameras' memory banks."""
    return BankStore(settings.data / "banks", network_sha256())


def execution_provider(settings: ServiceSettings) -> ExecutionProvider:
    """What models run on, with the engine cache in the data folder, the only writable place of an image."""
    return replace(select_provider(settings.onnx_provider), engine_cache=settings.data / "tensorrt")

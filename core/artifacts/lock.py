"""Lock: resolve every file that a preset's image needs to URL, size and SHA-256, and name what is unavailable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import JsonValue

from core.artifacts import base_image, debs, lock_diff, service_wheel, sources
from core.artifacts.dependency_confusion import confusion_findings
from core.artifacts.generated_files import generated_files
from core.artifacts.helper_container import HelperFailed
from core.artifacts.lock_check import check_locked
from core.artifacts.lock_store import LOCAL_WHEELS, LockedPreset, artifacts_folder, find_lock, lock_sha256, write_lock
from core.artifacts.locked_wheels import ORIGINS_INPUT, LockedWheels, index_rules, lock_wheels, origins_digest
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer, Unlocked
from core.artifacts.network import Network
from core.artifacts.orphaned_helpers import remove_orphans
from core.artifacts.os_releases import guess_os_release, wheel_platform
from core.artifacts.resolve import suggest_fix
from core.artifacts.uv_errors import ResolutionConflict
from core.artifacts.wheel_contents import refuse_service_packages
from core.disk_space import check_space
from core.engine import EngineError, connect_with_long_timeout
from core.errors import XaivaError
from core.files import list_files, sha256_bytes, sha256_file, write_atomic
from core.presets.compat import site_facts
from core.presets.compat.service_layer import engine_choices, engines
from core.presets.layers import ExpandedPreset, expand_preset
from core.presets.model import Preset
from core.presets.store import load_named, preset_sha256
from core.progress import OUTCOME, Progress, stage
from core.site import Site

if TYPE_CHECKING:
    import docker

_LOCK_BYTES = 16 << 20  # of a lock and its generated files, at most
SERVICE_LAYER = "service"


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Lock the preset `subject`. Option `upgrade`: resolve everything again instead of keeping what is locked.

    The outcome: `state` (`complete` or `partial`), `changed`, `files`, `bytes`, `diff` (lines), `unlocked`,
    `findings` (dependency confusion, and errors and warnings of the compatibility check of the new lock),
    `lock_sha256`. Raises XaivaError when the preset's requirements conflict or an index of the machine does not answer;
    the previous lock then stays.
    """
    preset = load_named(site, subject)
    check_space({site.artifacts: _LOCK_BYTES}, f"the lock of {subject}")
    old = _previous_lock(site, subject, progress)
    network = Network(site)
    lock_run = _LockRun(site, subject, preset, old, bool(options.get("upgrade")), network, progress)
    try:
        lock = lock_run.lock()
    finally:
        network.close()
    changes = lock_diff.diff_locks(old, lock)
    changed = write_lock(site, subject, lock)
    lock_run.write_generated_files(lock)
    for line in changes:
        progress.log(line, OUTCOME)
    for part in lock.unlocked:
        progress.log(f"not locked: {part.summary}; {part.remedy}", OUTCOME)
    findings = [*confusion_findings(subject, lock.shared), *check_locked(LockedPreset(site, subject, preset, lock))]
    for finding in findings:
        progress.log(f"{finding.level.value}: {finding.summary}; {finding.remedy}", OUTCOME)
    return {
        "state": "partial" if lock.unlocked else "complete",
        "changed": changed,
        "files": len(lock.files),
        "bytes": sum(file.size for file in lock.files),
        "diff": [*changes],
        "unlocked": [part.model_dump(mode="json") for part in lock.unlocked],
        "findings": [finding.model_dump(mode="json") for finding in findings],
        "lock_sha256": lock_sha256(lock),
    }


def _previous_lock(site: Site, subject: str, progress: Progress) -> Lock | None:
    try:
        return find_lock(site, subject)
    except XaivaError as error:
        progress.log(f"the existing lock cannot be used ({error.summary}); resolving everything again")
        return None


def expanded_layers(site: Site, preset: Preset) -> ExpandedPreset:
    """The preset's layers with the implicit last layer `service`, without its ONNX Runtime, which the lock chooses."""
    expanded = expand_preset(preset, site.presets, site_facts(site))
    if not preset.inference_service:
        return expanded
    layers = [*expanded.layers, (SERVICE_LAYER, service_wheel.service_requirements())]
    return replace(expanded, layers=layers)


def with_onnx_runtime(expanded: ExpandedPreset, choice: list[str]) -> ExpandedPreset:
    """The layers, with the requirements in `choice` added to the last one."""
    if not choice:
        return expanded
    *below, (name, lines) = expanded.layers
    return replace(expanded, layers=[*below, (name, [*lines, *choice])])


class _LockRun:
    """One run. Keeps each part of the old lock whose inputs are unchanged, unless `upgrade`."""

    def __init__(
        self,
        site: Site,
        name: str,
        preset: Preset,
        old: Lock | None,
        upgrade: bool,
        network: Network,
        progress: Progress,
    ) -> None:
        self.site = site
        self.name = name
        self.preset = preset
        self.old = old
        self.reusable = None if upgrade else old
        self.upgrade = upgrade
        self.network = network
        self.progress = progress
        self.folder = artifacts_folder(site, name)
        self.unlocked: list[Unlocked] = []
        self.files: list[LockedFile] = []
        self.inputs: dict[str, str] = {}
        self.saved_images: list[base_image.SavedImage] = []
        self._client: docker.DockerClient | None = None

    def lock(self) -> Lock:
        """The new lock. Raises XaivaError, Cancelled."""
        expanded = expanded_layers(self.site, self.preset)
        with stage(self.progress, "base", "base image"):
            base = self._lock_image(self.preset.base_image)
            runtime = self._lock_image(self.preset.runtime_base_image) if self.preset.runtime_base_image else None
            self._check_same_distribution(base, runtime)
        with stage(self.progress, "debs", "Debian packages"):
            closure = self._lock_debs(base, runtime)
        platform = wheel_platform(base.os_release)
        with stage(self.progress, "wheels", "Python wheels"):
            wheels = self._reuse_or_lock_wheels(expanded, platform)
            if self.preset.inference_service:
                refuse_service_packages(wheels, self.old, self.folder, self.network, self.progress)
        context = sources.LockContext(self.site, self.name, self.folder, self.network, self.reusable, self.progress)
        with stage(self.progress, "sources", "sources"):
            parts = sources.lock_sources(context, self.preset, standalone_python=self._is_standalone(closure))
            self.files += parts.files
            self.unlocked += parts.unlocked
        with stage(self.progress, "models", "models"):
            parts = sources.lock_models(context, self.preset)
            self.files += parts.files
            self.unlocked += parts.unlocked
        self.files += [*closure.debs, *closure.build_debs, *wheels.files]
        self.unlocked += wheels.unlocked
        self._refuse_lost_parts()
        return Lock(
            preset=self.name,
            preset_sha256=preset_sha256(self.preset, self.site.presets),
            platform=platform,
            python_version=self.preset.python_version,
            python_from="source" if self._is_standalone(closure) else "debs",
            base_image=base,
            runtime_base_image=runtime,
            layers=self._layers(wheels),
            debs=sorted(file.path for file in closure.debs),
            build_debs=sorted(file.path for file in closure.build_debs),
            files=sorted({file.path: file for file in self.files}.values(), key=lambda file: file.path),
            unlocked=sorted(self.unlocked, key=lambda part: part.what),
            shared=wheels.shared,
            deb_fields=dict(sorted(closure.fields.items())),
            inputs=dict(sorted(self.inputs.items())),
        )

    def _is_standalone(self, closure: debs.DebClosure) -> bool:
        """Whether the image gets a Python that is not its distribution's."""
        return bool(self.preset.python_version) and not closure.python

    def _refuse_lost_parts(self) -> None:
        """Raise XaivaError when an upgrade would lose a locked part because it is unavailable now."""
        before = {part.what for part in self.old.unlocked} if self.old and self.upgrade else None
        lost = [part for part in self.unlocked if before is not None and part.what not in before]
        if lost:
            raise XaivaError(f"The upgrade of {lost[0].what}", lost[0].why, f"the old lock stays; {lost[0].remedy}")

    def write_generated_files(self, lock: Lock) -> None:
        """Write the files that are generated from the new lock, and the manifests of its images."""
        for name, content in generated_files(lock).items():
            path = self.folder / name
            if not path.is_file() or path.read_bytes() != content:
                write_atomic(path, content)
        for saved in self.saved_images:
            saved.write_manifests(self.folder)

    def _layers(self, wheels: LockedWheels) -> list[LockedLayer]:
        layers = [
            LockedLayer(
                name=name,
                requirements=f"layers/{name}/requirements.txt",
                wheels=sorted(paths),
                asked=wheels.asked.get(name, []),
            )
            for name, paths in wheels.layers
        ]
        if not self.preset.inference_service:
            return layers
        own = self._own_wheel()
        self.files.append(own)
        last = layers[-1]
        return [*layers[:-1], last.model_copy(update={"wheels": sorted([*last.wheels, own.path])})]

    def _own_wheel(self) -> LockedFile:
        content = service_wheel.build()
        path = f"layers/{SERVICE_LAYER}/wheels/{service_wheel.wheel_name()}"
        target = self.folder / path
        if not target.is_file() or target.read_bytes() != content:
            write_atomic(target, content)
        return LockedFile(
            path=path,
            size=len(content),
            sha256=sha256_bytes(content),
            kind=FileKind.WHEEL,
            url=f"wheel:{service_wheel.DISTRIBUTION}",
            name=service_wheel.DISTRIBUTION,
            version=service_wheel.version(),
        )

    # -- base image and debs --------------------------------------------------------------------------------------

    def _engine(self) -> docker.DockerClient:
        if self._client is None:
            self._client = connect_with_long_timeout(self.site)
            remove_orphans(self._client)
        return self._client

    def _lock_image(self, reference: str) -> LockedImage:
        image = self._reuse_image(reference)
        if image is not None:
            return image
        self.progress.log(f"base image {reference}", "base")
        try:
            saved = base_image.save_image(
                self._engine(), reference, self.folder, self.progress, pull=self._should_pull(reference)
            )
        except EngineError as error:
            remedy = f"{error.remedy or 'pull or docker load it'}; then lock again: xaiva lock {self.name}"
            self.unlocked.append(Unlocked(what=f"base image {reference}", why=error.summary, remedy=remedy))
            return LockedImage(reference=reference, tag="", config_digest="", os_release=guess_os_release(reference))
        self.files += saved.files
        self.saved_images.append(saved)
        return saved.image

    def _should_pull(self, reference: str) -> bool:
        """Whether to look for a newer image in its registry: with `upgrade`, if the image came from one."""
        if not self.upgrade:
            return False
        before = [image for image in _images(self.old) if image.reference == reference]
        return any(image.manifest_digest for image in before)

    def _reuse_image(self, reference: str) -> LockedImage | None:
        for image in _images(self.reusable):
            files = (
                [file for file in self.reusable.files if file.path.startswith(f"{image.folder}/")]
                if self.reusable
                else []
            )
            present = all(file.under(self.folder).is_file() for file in files)
            if image.reference == reference and image.config_digest and files and present:
                self.files += files
                return image
        return None

    def _check_same_distribution(self, base: LockedImage, runtime: LockedImage | None) -> None:
        releases = [image.os_release for image in (base, runtime) if image and image.os_release]
        if len(set(releases)) > 1:
            raise XaivaError(
                f"runtime_base_image of {self.name}",
                f"it is {releases[1]}, the base image is {releases[0]}; what is built on one does not run on the other",
                "choose a runtime base image of the same distribution",
            )

    def _lock_debs(self, base: LockedImage, runtime: LockedImage | None) -> debs.DebClosure:
        request = debs.deb_request(self.preset)
        key = [base.config_digest, runtime.config_digest if runtime else "", request.python_version]
        digest = _digest([*key, list(request.debs), list(request.build_debs)])
        if self.reusable is not None and self.reusable.inputs.get("debs") == digest:
            self.inputs["debs"] = digest
            return _reuse_debs(self.reusable)
        if not (request.python_version or request.debs or request.build_debs):
            return debs.DebClosure()
        if not base.config_digest:
            self._add_unlocked_debs("its base image is missing", "fetch the base image first")
            return debs.DebClosure(python=True)
        try:
            closure = debs.resolve_debs(self._engine(), base.reference, request, self.site.env, self.progress)
            if runtime is not None and runtime.config_digest:
                alone = debs.DebRequest(request.python_version, request.debs, [])
                other = debs.resolve_debs(self._engine(), runtime.reference, alone, self.site.env, self.progress)
                closure = debs.merge_closures(closure, other)
        except (EngineError, HelperFailed) as error:
            self._add_unlocked_debs(error.summary, error.remedy)
            return debs.DebClosure(python=True)
        self.inputs["debs"] = digest
        return closure

    def _add_unlocked_debs(self, why: str, remedy: str) -> None:
        what = f"Debian packages of {self.preset.base_image}"
        if self.preset.python_version:
            what = f"Debian packages and Python of {self.preset.base_image}"
        self.unlocked.append(Unlocked(what=what, why=why, remedy=f"{remedy}; then lock again: xaiva lock {self.name}"))

    # -- wheels ---------------------------------------------------------------------------------------------------

    def _reuse_or_lock_wheels(self, expanded: ExpandedPreset, platform: str) -> LockedWheels:
        if not self.preset.python_version:
            return LockedWheels()
        local = self.folder / LOCAL_WHEELS
        built = [[path.name, sha256_file(path)] for path in list_files(local, ".whl")]
        rules = index_rules(expanded.indexes, self.site.env)
        choices = engine_choices(self.preset, expanded.layers[:-1], site_facts(self.site))
        inputs = [expanded.layers, choices, expanded.pins, rules, self.preset.python_version, platform, built]
        if expanded.direct_references or expanded.hashes:
            inputs += [[entry.reference.requirement for _, entry in expanded.direct_references], expanded.hashes]
        digest = _digest(inputs)
        self.inputs[ORIGINS_INPUT] = origins_digest(rules, self.preset.python_version, platform)
        if self.reusable is not None and self.reusable.inputs.get("wheels") == digest:
            self.inputs["wheels"] = digest
            return _reuse_wheels(self.reusable)
        wheels = self._choose_onnx_runtime(expanded, choices, platform)
        if not wheels.unlocked and not wheels.index_failed:
            self.inputs["wheels"] = digest
        return wheels

    def _choose_onnx_runtime(self, expanded: ExpandedPreset, choices: list[list[str]], platform: str) -> LockedWheels:
        """Lock with the first of the ONNX Runtimes in `choices` that is compatible with the other layers.

        Locks with the last one if none is. Raises ResolutionConflict.
        """
        for choice in choices[:-1]:
            try:
                wheels = self._lock_wheels(with_onnx_runtime(expanded, choice), platform)
            except ResolutionConflict as error:
                self.progress.log(f"{' with '.join(choice)} is incompatible with the other layers: {error.why}")
                continue
            lost = engines(re.split(r"[^\w.-]", part.what)[0] for part in wheels.unlocked)
            if wheels.index_failed and lost:
                return wheels  # the failed index may have this one: trying another choice tells nothing
            if len(engines(file.name for file in wheels.files)) == 1 and not lost:
                return wheels
            self.progress.log(
                f"{' with '.join(choice)} is incompatible with the other layers: they bring in a different build"
            )
        try:
            return self._lock_wheels(with_onnx_runtime(expanded, choices[-1]), platform)
        except ResolutionConflict as error:
            error.remedy = suggest_fix(error, self.site.env, self.progress) or error.remedy
            raise

    def _lock_wheels(self, expanded: ExpandedPreset, platform: str) -> LockedWheels:
        return lock_wheels(
            self.site,
            self.name,
            expanded,
            self.preset.python_version,
            platform,
            self.reusable,
            self.network,
            self.progress,
        )


def _images(lock: Lock | None) -> list[LockedImage]:
    if lock is None:
        return []
    return [image for image in (lock.base_image, lock.runtime_base_image) if image is not None]


def _reuse_debs(lock: Lock) -> debs.DebClosure:
    by_path = lock.by_path()
    return debs.DebClosure(
        lock.python_from == "debs",
        [by_path[path] for path in lock.debs],
        [by_path[path] for path in lock.build_debs],
        dict(lock.deb_fields),
    )


def _reuse_wheels(lock: Lock) -> LockedWheels:
    """The locked wheels without the service wheel, which is built again from the code."""
    by_path = lock.by_path()
    wheels = LockedWheels(shared=lock.shared)
    for layer in lock.layers:
        paths = [path for path in layer.wheels if not by_path[path].url.startswith("wheel:")]
        wheels.layers.append((layer.name, paths))
        wheels.asked[layer.name] = layer.asked
        wheels.files += [by_path[path] for path in paths]
    return wheels


def _digest(value: object) -> str:
    return sha256_bytes(json.dumps(value, sort_keys=True).encode())

"""The offline build: makes an image from artifacts, runs the smoke test, and records the build."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from core import audit, labels, redaction
from core.artifacts.lock_store import LockedPreset, lock_text, read_locked_preset
from core.disk_space import check_space
from core.engine import docker_environment, require_engine_version, resolve_endpoint
from core.errors import Cancelled, ChecksFailed, InputError, XaivaError
from core.findings import Finding, Level, has_errors
from core.images import build_checks, build_history, buildx
from core.images.build_history import BuildOutcome, BuildRecord, StageRecord, StepRecord
from core.images.build_recorder import LOAD_STAGE, SMOKE_STAGE, BuildRecorder
from core.images.build_stages import CONTEXT_STAGE, EXPORT_STAGE, BuildStep, StageTree
from core.images.docker_cli import run_docker
from core.images.engine_space import check_build_space
from core.images.load import image_id, load_bases
from core.images.render import stage_names, write_build_context
from core.images.smoke_test import COMPLETE_STAGES, run_smoke_test
from core.progress import OUTCOME, Progress, Stage, StageState, stage
from core.site import Site

CANDIDATE_TAG = "candidate"  # of a new image until it has passed the smoke test; a failed one keeps it for inspection
_RECORD_BYTES = 1 << 20  # of a build's record, log and lock, on the site's disk
_EXIT_CODE = re.compile(r"exit code: \d+$")  # the end of BuildKit's error of a RUN, after the whole command
_OPTION_NAMES = {"target", "no_cache", "smoke"}


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Build preset `subject` with no network.

    Options: `target` (a stage, default `runtime`), `no_cache`, `smoke` (true).
    Returns build id, image id, tag, seconds and findings. Raises XaivaError (the record keeps the end of the output),
    ChecksFailed when the lint or the smoke test found errors, Cancelled.
    """
    build_options = _options(options)
    env = docker_environment(site)
    locked = read_locked_preset(site, subject)
    build_checks.check_target(build_options.target, locked)
    build_checks.check_artifacts(locked)
    build_checks.check_models(locked)
    build_checks.check_secrets(locked.preset, env)
    compatibility_findings = build_checks.check_compatibility(locked)
    require_engine_version(site)
    check_space({build_history.builds_folder(site): _RECORD_BYTES}, "the record of the build")
    early_findings = [*compatibility_findings, *check_build_space(site, locked.lock, build_options.target)]
    dockerfile = write_build_context(locked)
    record, log = build_history.start_record(site, subject, locked.lock, lock_text(locked.lock), build_options.target)
    secrets = [env[name] for name in locked.preset.build_secrets]
    with log:
        recorder = BuildRecorder(progress, log, secrets)
        build = _Build(locked, build_options, env, recorder, record)
        try:
            build_history.keep_sbom(site, record.id, (locked.folder / "sbom.json").read_bytes())
            with recorder.heartbeat():
                build.run_steps(dockerfile, early_findings)
        except XaivaError as error:
            cancelled = isinstance(error, Cancelled)
            build.finish_record(
                BuildOutcome.CANCELLED if cancelled else BuildOutcome.FAILED, str(error), list(recorder.last_lines)
            )
            raise
        except BaseException as error:
            build.finish_record(BuildOutcome.FAILED, repr(error), list(recorder.last_lines))
            raise
        finally:
            build_history.save_record(site, build.record)
            _record_in_audit_log(site, build.record)
    build_history.remove_old_builds(site, site.settings.operations.keep)
    final_record = build.record
    return {
        "build": final_record.id,
        "image": final_record.image_id,
        "tag": final_record.tag,
        "seconds": round(final_record.seconds, 3),
        "findings": [finding.model_dump(mode="json") for finding in final_record.findings],
    }


@dataclass(frozen=True)
class _Options:
    target: str
    no_cache: bool
    smoke: bool


def _options(options: Mapping[str, JsonValue]) -> _Options:
    if unknown := options.keys() - _OPTION_NAMES:
        raise InputError(
            f"Build option {sorted(unknown)[0]}",
            "there is no such option",
            f"use one of {', '.join(sorted(_OPTION_NAMES))}",
        )
    return _Options(
        str(options.get("target") or "runtime"),
        bool(options.get("no_cache", False)),
        bool(options.get("smoke", True)),
    )


@dataclass
class _Build:
    """A running build; `record` is updated on the way."""

    locked: LockedPreset
    options: _Options
    env: dict[str, str]
    progress: BuildRecorder
    record: BuildRecord

    def run_steps(self, dockerfile: str, early_findings: list[Finding]) -> None:
        """Load the base image, lint, build, run the smoke test, tag."""
        self._add_findings(early_findings)
        load_bases(self.locked.site, self.locked.name, self.locked.lock, self.progress)
        self._add_findings(build_checks.check_dockerfile(dockerfile, str(self.locked.folder / "Dockerfile"), self.env))
        candidate = f"xaiva/{self.locked.name}:{CANDIDATE_TAG}"
        self._build(candidate)
        if self.options.smoke and self.options.target in (
            *COMPLETE_STAGES,
            *(layer.name for layer in self.locked.lock.layers),
        ):
            try:
                self._smoke(candidate)
            except Cancelled:
                run_docker("rmi", candidate, env=self.env)
                raise
        tag = labels.image_tag(self.locked.name, self.options.target)
        self._docker("tag", candidate, tag)
        self._docker("rmi", "--no-prune", candidate)
        self._update(tag=tag)
        self.finish_record(BuildOutcome.DONE)

    def finish_record(self, outcome: BuildOutcome, error: str = "", last_lines: list[str] | None = None) -> None:
        """Complete the record with its outcome and with xaiva's own stages before and after those of BuildKit."""
        before, after = (
            [_own_stage_record(self.progress.own_stages[i])] if i in self.progress.own_stages else []
            for i in (LOAD_STAGE, SMOKE_STAGE)
        )
        self._update(stages=[*before, *self.record.stages, *after])
        self._update(outcome=outcome, ended=time.time(), error=error, last_lines=last_lines or [])

    def _build(self, candidate: str) -> None:
        request = buildx.BuildRequest(
            context=self.locked.folder,
            dockerfile=self.locked.folder / "Dockerfile",
            target=self.options.target,
            tag=candidate,
            builder=buildx.builder_name(resolve_endpoint(self.locked.site)),
            labels={labels.BUILD_ID: self.record.id},
            secrets=self.locked.preset.build_secrets,
            no_cache=self.options.no_cache,
        )
        tree = StageTree(self.progress)
        result = buildx.run_build(request, self.env, tree, self.progress)
        if result.cancelled or result.code:
            tree.end_running(result.cancelled)
        order = [CONTEXT_STAGE, *stage_names(self.locked.preset, self.locked.lock), EXPORT_STAGE]
        names = sorted(tree.stage_names(), key=lambda name: order.index(name) if name in order else len(order))
        self._update(stages=[_stage_record(tree, name) for name in names], no_cache=self.options.no_cache)
        if result.cancelled:
            raise Cancelled(f"Build of {self.locked.name}", "", "the completed steps stay in the cache")
        if result.code:
            raise _build_error(self.locked.name, tree, self.progress.redact)
        metadata = result.metadata
        self._update(
            image_id=image_id(candidate, self.env),
            config_digest=str(metadata.get("containerimage.config.digest", "")),
            manifest_digest=str(metadata.get("containerimage.digest", "")),
        )

    def _smoke(self, image: str) -> None:
        with stage(self.progress, SMOKE_STAGE, "smoke test"):
            findings = run_smoke_test(self.locked, image, self.options.target, self.progress)
            self._add_findings(findings)
            if has_errors(findings):
                first = next(finding for finding in findings if finding.level is Level.ERROR)
                remedy = first.remedy or f"look inside: docker run --rm -it --network none --entrypoint bash {image}"
                raise ChecksFailed(f"Smoke test of {self.locked.name}: {first.what}", first.why, remedy)

    def _add_findings(self, findings: list[Finding]) -> None:
        for finding in findings:
            self.progress.log(f"{finding.level.value}: {finding.summary}", OUTCOME)
        self._update(findings=[*self.record.findings, *findings])

    def _docker(self, *words: str) -> str:
        done = run_docker(*words, env=self.env, timeout=120)
        if done.returncode:
            raise XaivaError(f"docker {words[0]}", done.stderr.strip(), "check the engine: xaiva doctor")
        return done.stdout

    def _update(self, **values: object) -> None:
        self.record = self.record.model_copy(update=values)


def _record_in_audit_log(site: Site, record: BuildRecord) -> None:
    details = {"build": record.id, "target": record.target, "outcome": record.outcome.value, "image": record.image_id}
    audit.record(site, "build", record.preset, {**details, "tag": record.tag})


def _own_stage_record(done: Stage) -> StageRecord:
    return StageRecord(name=done.id, state=done.state.value, cached=False, seconds=done.ended - done.started)


def _stage_record(tree: StageTree, name: str) -> StageRecord:
    summary, steps = tree.summary(name), tree.steps_of(name)
    return StageRecord(
        name=name,
        state=summary.state.value,
        cached=summary.state is StageState.CACHED,
        seconds=sum(step.seconds for step in steps),
        steps=[_step_record(step) for step in steps],
    )


def _step_record(step: BuildStep) -> StepRecord:
    return StepRecord(
        title=redaction.redact_text(step.title), state=step.state.value, cached=step.vertex.cached, seconds=step.seconds
    )


def _build_error(name: str, tree: StageTree, redact: Callable[[str], str]) -> XaivaError:
    step = tree.failed_step()
    if step is None:
        errors = [word for word in tree.client_output if word.startswith("ERROR")]
        why = (errors or tree.client_output or ["buildx gave no message"])[-1]
        return XaivaError(
            f"Build of {name}", redact(why), "the complete log is kept: xaiva builds list, and .xaiva/builds/"
        )
    location = {CONTEXT_STAGE: "reading the artifacts", EXPORT_STAGE: "writing the image"}.get(
        step.stage, f"stage {step.stage}"
    )
    remedy = f"see the log of {step.stage}; fix the problem and build again: earlier stages come from the cache"
    exit_code = _EXIT_CODE.search(step.vertex.error)
    last_lines = [line.strip() for line in step.last_lines]
    why = f"{exit_code[0]}: {' / '.join(last_lines)}" if exit_code and last_lines else step.vertex.error
    return XaivaError(f"Build of {name}, {location}", redact(why), remedy)

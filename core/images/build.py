"""The offline build: from artifacts to an image that has passed its smoke test, with a record of how it went."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from core import labels, redaction
from core.artifacts import store
from core.artifacts.lockfile import Lock
from core.artifacts.stages import stage
from core.engine import docker_environment, endpoint, require_version
from core.errors import Cancelled, ChecksFailed, InputError, XaivaError
from core.findings import Finding, Level, has_errors
from core.images import buildx, history, preflight
from core.images.client import docker
from core.images.history import BuildRecord, Outcome, StageRecord, StepRecord
from core.images.load import image_id, load_bases
from core.images.recorder import AFTER, BEFORE, Recorder
from core.images.render import stage_names, write_context
from core.images.smoke import WHOLE, smoke
from core.images.stages import CONTEXT, EXPORT, StageTree, Step
from core.presets.model import Preset
from core.presets.store import load_named
from core.progress import OUTCOME, Progress, Stage, StageState
from core.site import Site

CANDIDATE = "candidate"  # the tag a new image has until it has passed; a failed one keeps it, for a look inside
_EXIT = re.compile(r"exit code: \d+$")  # how BuildKit ends the error of a RUN; before it stands the whole command
_KNOWN = {"target", "no_cache", "smoke"}


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Build preset `subject` with no network.

    Options: `target` (a stage, default `runtime`), `no_cache`, `smoke` (true).
    Returns build id, image id, tag, seconds and findings. Raises XaivaError (what failed and why; the record keeps the
    end of the output), ChecksFailed when the lint or the smoke test found errors, Cancelled.
    """
    wanted = _options(options)
    env = docker_environment(site)
    preset, lock = load_named(site, subject), store.read_lock(site, subject)
    folder = store.folder(site, subject)
    preflight.check_target(wanted.target, preset, lock)
    preflight.check_artifacts(folder, subject, lock)
    preflight.check_models(site, folder, subject, lock)
    preflight.check_secrets(preset, env)
    doubts = preflight.check_compatibility(site, subject, preset, lock)
    require_version(site)
    text = write_context(site, folder, subject, preset, lock)
    record, log = history.new_build(site, subject, lock, store.lock_text(lock), wanted.target)
    secrets = [env[name] for name in preset.build_secrets]
    with log:
        recorder = Recorder(progress, log, secrets)
        work = _Build(site, subject, preset, lock, folder, wanted, env, recorder, record)
        try:
            history.keep_sbom(site, record.id, (folder / "sbom.json").read_bytes())
            with recorder.filling_silence():
                work.all(text, doubts)
        except XaivaError as error:
            cancelled = isinstance(error, Cancelled)
            work.ended(Outcome.CANCELLED if cancelled else Outcome.FAILED, str(error), list(recorder.last))
            raise
        except BaseException as error:
            work.ended(Outcome.FAILED, repr(error), list(recorder.last))
            raise
        finally:
            history.save(site, work.record)
    history.trim(site, site.settings.operations.keep)
    done = work.record
    return {
        "build": done.id,
        "image": done.image_id,
        "tag": done.tag,
        "seconds": round(done.seconds, 3),
        "findings": [finding.model_dump(mode="json") for finding in done.findings],
    }


@dataclass(frozen=True)
class _Options:
    target: str
    no_cache: bool
    smoke: bool


def _options(options: Mapping[str, JsonValue]) -> _Options:
    if unknown := options.keys() - _KNOWN:
        raise InputError(
            f"Build option {sorted(unknown)[0]}", "there is no such option", f"there are {', '.join(sorted(_KNOWN))}"
        )
    return _Options(
        str(options.get("target") or "runtime"),
        bool(options.get("no_cache", False)),
        bool(options.get("smoke", True)),
    )


@dataclass
class _Build:
    """One build on its way; `record` is what is known of it."""

    site: Site
    name: str
    preset: Preset
    lock: Lock
    folder: Path
    options: _Options
    env: dict[str, str]
    progress: Recorder
    record: BuildRecord

    def all(self, dockerfile: str, doubts: list[Finding]) -> None:
        """Base image, lint, build, smoke test, tag. `doubts` are what the compatibility check found."""
        self._found(doubts)
        load_bases(self.site, self.name, self.lock, self.env, self.progress)
        findings = preflight.check_dockerfile(dockerfile, str(self.folder / "Dockerfile"), self.env)
        findings += preflight.disk_findings(self.lock, self._engine_root())
        self._found(findings)
        candidate = f"xaiva/{self.name}:{CANDIDATE}"
        self._build(candidate)
        if self.options.smoke and self.options.target in (*WHOLE, *(layer.name for layer in self.lock.layers)):
            try:
                self._smoke(candidate)
            except Cancelled:
                docker("rmi", candidate, env=self.env)
                raise
        tag = labels.image_tag(self.name, self.options.target)
        self._docker("tag", candidate, tag)
        self._docker("rmi", "--no-prune", candidate)
        self._update(tag=tag)
        self.ended(Outcome.DONE)

    def ended(self, outcome: Outcome, error: str = "", last_lines: list[str] | None = None) -> None:
        """The record's end, with the stages of ours around those of BuildKit: they take their time, too."""
        before, after = ([_own_record(self.progress.own[i])] if i in self.progress.own else [] for i in (BEFORE, AFTER))
        self._update(stages=[*before, *self.record.stages, *after])
        self._update(outcome=outcome, ended=time.time(), error=error, last_lines=last_lines or [])

    def _build(self, candidate: str) -> None:
        request = buildx.Request(
            context=self.folder,
            dockerfile=self.folder / "Dockerfile",
            target=self.options.target,
            tag=candidate,
            builder=buildx.builder_of(endpoint(self.site)),
            labels={labels.BUILD: self.record.id},
            secrets=self.preset.build_secrets,
            no_cache=self.options.no_cache,
        )
        tree = StageTree(self.progress)
        result = buildx.build(request, self.env, tree, self.progress)
        if result.cancelled or result.code:
            tree.end(result.cancelled)
        order = [CONTEXT, *stage_names(self.preset, self.lock), EXPORT]
        names = sorted(tree.stages(), key=lambda name: order.index(name) if name in order else len(order))
        self._update(stages=[_stage_record(tree, name) for name in names], no_cache=self.options.no_cache)
        if result.cancelled:
            raise Cancelled(f"Build of {self.name}", "", "the steps that ended stay in the cache")
        if result.code:
            raise _failure(self.name, tree, self.progress.redact)
        metadata = result.metadata
        self._update(
            image_id=image_id(candidate, self.env),
            config_digest=str(metadata.get("containerimage.config.digest", "")),
            manifest_digest=str(metadata.get("containerimage.digest", "")),
        )

    def _smoke(self, image: str) -> None:
        with stage(self.progress, AFTER, "smoke test"):
            findings = smoke(self.site, image, self.preset, self.lock, self.options.target, self.progress)
            self._found(findings)
            if has_errors(findings):
                first = next(finding for finding in findings if finding.level is Level.ERROR)
                remedy = first.remedy or f"look inside: docker run --rm -it --network none --entrypoint bash {image}"
                raise ChecksFailed(f"Smoke test of {self.name}: {first.what}", first.why, remedy)

    def _found(self, findings: list[Finding]) -> None:
        for finding in findings:
            self.progress.log(f"{finding.level.value}: {finding.what}: {finding.why}", OUTCOME)
        self._update(findings=[*self.record.findings, *findings])

    def _engine_root(self) -> str:
        if not endpoint(self.site).local:
            return ""
        return self._docker("info", "--format", "{{.DockerRootDir}}").strip()

    def _docker(self, *words: str) -> str:
        done = docker(*words, env=self.env, timeout=120)
        if done.returncode:
            raise XaivaError(f"docker {words[0]}", done.stderr.strip(), "look at the engine: xaiva doctor")
        return done.stdout

    def _update(self, **values: object) -> None:
        self.record = self.record.model_copy(update=values)


def _own_record(done: Stage) -> StageRecord:
    return StageRecord(name=done.id, state=done.state.value, cached=False, seconds=done.ended - done.started)


def _stage_record(tree: StageTree, name: str) -> StageRecord:
    summary, steps = tree.summary(name), tree.of(name)
    return StageRecord(
        name=name,
        state=summary.state.value,
        cached=summary.state is StageState.CACHED,
        seconds=sum(step.seconds for step in steps),
        steps=[_step_record(step) for step in steps],
    )


def _step_record(step: Step) -> StepRecord:
    return StepRecord(
        title=redaction.redact_text(step.title), state=step.state.value, cached=step.vertex.cached, seconds=step.seconds
    )


def _failure(name: str, tree: StageTree, redact: Callable[[str], str]) -> XaivaError:
    step = tree.failed_step()
    if step is None:
        errors = [word for word in tree.words if word.startswith("ERROR")]
        why = (errors or tree.words or ["buildx said nothing"])[-1]
        return XaivaError(
            f"Build of {name}", redact(why), "the whole log is kept: xaiva builds list, and .xaiva/builds/"
        )
    where = {CONTEXT: "reading the artifacts", EXPORT: "writing the image"}.get(step.stage, f"stage {step.stage}")
    remedy = f"the log of {step.stage} says more; fix it and build again: the stages before it come from the cache"
    exit_code = _EXIT.search(step.vertex.error)
    said = [line.strip() for line in step.last]
    why = f"{exit_code[0]}: {' / '.join(said)}" if exit_code and said else step.vertex.error
    return XaivaError(f"Build of {name}, {where}", redact(why), remedy)

"""A site report as the machine that a preset is judged against: will it run there?"""

from __future__ import annotations

import re

from core.containers.gpu_access import GpuAccess, missing_toolkit_finding
from core.engine_version import version_findings
from core.errors import InputError
from core.findings import Finding
from core.presets.compat import Facts, TargetMachine, nvml_gpu
from core.presets.model import Preset
from core.site_report.model import EngineFacts, SiteReport
from core.telemetry.gpus import Gpu

_X86_64 = ("x86_64", "amd64")
_DRIVER = re.compile(r"\d{3}(?:\.\d+){0,2}")
_ENGINE_OF_DOCKER = "docker "


def report_target(report: SiteReport, facts: Facts) -> TargetMachine:
    """The GPUs and the driver of the site. Raises InputError when the report does not know them."""
    value = report.gpus.value
    if value is None:
        why = f"the report does not know the GPUs of {report.host_name}: {report.gpus.unknown}"
        remedy = "write the report again when `xaiva gpu` works there; or give the GPU by hand: --gpu, --driver"
        raise InputError("The site as a target", why, remedy)
    processor = _processor(report)
    gpus = [
        Gpu(
            index=index,
            name=gpu.name,
            compute_capability=gpu.compute_capability if re.fullmatch(r"\d+\.\d+", gpu.compute_capability) else "",
            memory_total=gpu.memory,
            mig=gpu.mig,
        )
        for index, gpu in enumerate(value.gpus)
    ]
    driver = value.driver if _DRIVER.fullmatch(value.driver) else ""
    return TargetMachine(tuple(nvml_gpu(gpu, facts, processor) for gpu in gpus), driver)


def site_findings(report: SiteReport, preset: Preset) -> list[Finding]:
    """What else decides whether a preset runs there: processor, GPUs at all, the engine, the report itself."""
    host = report.host_name
    basis = f"the report of {host}, written on {report.created:%Y-%m-%d %H:%M} UTC"
    return [
        *_processor_findings(report, host),
        *(_gpu_findings(report, host) if preset.run.gpus else []),
        *_engine_findings(report, host, needs_gpu=bool(preset.run.gpus)),
        Finding.note("site-report", "judged for the site", basis),
    ]


def _processor(report: SiteReport) -> str:
    return report.host.value.architecture if report.host.value else ""


def _processor_findings(report: SiteReport, host: str) -> list[Finding]:
    processor = _processor(report)
    if not processor:
        why = report.host.unknown or "the report does not name it"
        return [Finding.warning("site-processor", f"The processor of {host} is unknown", why)]
    if processor in _X86_64:
        return []
    what, why = f"{host} has a processor of type {processor}", "presets are locked for x86_64"
    return [Finding.error("site-processor", what, why, "use a machine with an x86_64 processor")]


def _gpu_findings(report: SiteReport, host: str) -> list[Finding]:
    value = report.gpus.value
    if value is None or value.gpus:
        return []
    why = f"{value.detail or 'the NVIDIA driver finds none'}, and the preset has run.gpus"
    remedy = "if it has one, make `xaiva gpu` show it there, and write the report again; or use a preset without a GPU"
    return [Finding.error("site-gpu", f"{host} has no GPU that works", why, remedy)]


def _engine_findings(report: SiteReport, host: str, *, needs_gpu: bool) -> list[Finding]:
    engine = report.engine.value
    if engine is None:
        return [Finding.warning("site-engine", f"The engine of {host} is unknown", report.engine.unknown)]
    findings = version_findings(_version_answer(engine))
    if needs_gpu and engine.gpu_access == GpuAccess.NONE.value:
        findings.append(missing_toolkit_finding(host))
    return findings


def _version_answer(engine: EngineFacts) -> dict[str, object]:
    """What the engine answered to `/version`, as far as the report has it."""
    product = engine.title.removesuffix(engine.version).strip()
    components = [] if engine.title.startswith(_ENGINE_OF_DOCKER) else [{"Name": product}]
    return {"Version": engine.version, "ApiVersion": engine.api, "Components": components}

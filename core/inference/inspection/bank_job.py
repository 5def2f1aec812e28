"""The job that rebuilds memory banks from the storage: of one product, or of all of them, one after another."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from pydantic import JsonValue

from core.api_schema import ProductSettings
from core.errors import Cancelled, InputError, TransientError, XaivaError
from core.findings import Finding, Level
from core.inference.generation_reader import GenerationReader, ReadGeneration
from core.inference.generations import BrokenGeneration, NoGeneration
from core.inference.inspection.bank_gate import check_not_worse
from core.inference.inspection.bank_outliers import most_unlike
from core.inference.inspection.bank_pictures import BAD_PICTURE, CollectedPictures, PictureCollector, StoredDefects
from core.inference.inspection.feature_cache import MAX_HELD, FeatureCache
from core.inference.inspection.layout import NORMAL, Layout
from core.inference.inspection.listed_pictures import note_listed
from core.inference.inspection.product_folders import list_products
from core.inference.inspection.products import read_product_settings
from core.inference.inspection.unusable_pictures import check_share, override_hint
from core.inference.jobs.context import JobContext
from core.inference.jobs.reservation import reserve
from core.inference.models.bank_files import bank_generations, bank_reader, publish_bank
from core.inference.models.fit_product_bank import MIN_NORMALS, FitOptions, ProductPictures, fit_product_bank
from core.inference.models.onnx_backbone import find_backbone
from core.inference.models.product_bank import ProductBank
from core.inference.models.registry import execution_provider
from core.inference.settings import MIB
from core.inference.storage import open_mirror, open_storage
from core.progress import REPORT_SECONDS, Progress, Stage, StageState, stage

PUBLISH = "publish"  # a stage of a product, beside those of bank_pictures and of TITLES
TITLES = {
    "held-out": "Measure with pictures held out",
    "coreset": "Select the coreset",
    "defects": "Score known defects",
    "compare": "Score known defects with the old bank",
}
RECIPE = 1  # raised when the same pictures give another bank than before
MAX_NUMBERS = 152_000_000  # of a product's features in memory: 304 MB
MAX_DEFECTS = 1000  # that are scored; more take minutes and change the AUROC little
MEMORY = 400 * MIB  # beside the network: those features, and what a coreset is selected from
FEWER = "set fewer tiles, or a network with fewer or smaller layers"
SHOWN_FINDINGS = 200  # of a result; all are counted


def run(
    context: JobContext, subject: str, options: Mapping[str, JsonValue], progress: Progress
) -> dict[str, JsonValue]:
    """Rebuild the memory bank of a product, or of all that have normal pictures when `subject` is empty.

    A product that fails leaves its old bank in place and does not stop the others; the job fails when all of them do.
    With the option `force` a bank is published even if it is worse than the old one. A bank whose pictures and settings
    are those of the one that answers is not built again.

    Raises InputError, TransientError when the storage or the database does not answer, XaivaError, Cancelled.
    """
    job = _BankJob(context, bool(options.get("force")), progress)
    products = [subject] if subject else list_products(open_storage(context.settings), job.layout, progress)
    if not products:
        why = f"there are no pictures below {job.layout.prefix(NORMAL)} in the storage"
        raise InputError("Memory banks", why, f"put normal pictures into {job.layout.normal_prefix('PRODUCT')}")
    return job.run(products)


class _BankJob:
    def __init__(self, context: JobContext, force: bool, progress: Progress) -> None:
        self._context = context
        self._settings = context.settings
        self._force = force
        self._progress = progress
        self.layout = Layout.of(context.settings)
        self._mirror = open_mirror(self._settings)
        self._backbone = find_backbone(self._settings)
        self._network = self._backbone.make(execution_provider(self._settings))
        self._findings: list[Finding] = []

    def run(self, products: list[str]) -> dict[str, JsonValue]:
        """Rebuild the banks of these products."""
        settings = read_product_settings(self._settings)
        results: dict[str, JsonValue] = {}
        failures: list[XaivaError] = []
        for product in products:  # so that readers know how many there are
            self._progress.stage(Stage(id=_stage_id(product), title=product))
        memory = MEMORY + self._backbone.memory
        with reserve(self._context, self._progress, "memory banks", memory), closing(self._network):
            with stage(self._progress, "load", "Load the network"):
                self._network.load()
            for product in products:
                try:
                    results[product] = self._rebuild(product, settings.get(product, ProductSettings()))
                except (Cancelled, TransientError):
                    raise
                except XaivaError as error:
                    self._progress.log(error.summary, _stage_id(product))
                    failures.append(error)
                    results[product] = {"failure": error.summary}
                    self._findings.append(Finding.error("bank-failed", error.what, error.why, error.remedy))
        if len(failures) == len(products):
            raise _all_failed(failures)
        shown = sorted(self._findings, key=lambda finding: finding.level is not Level.ERROR)[:SHOWN_FINDINGS]
        return {
            "products": results,
            "failed": len(failures),
            "findings": [finding.model_dump(mode="json") for finding in shown],
            "findings_total": len(self._findings),
        }

    def _rebuild(self, product: str, settings: ProductSettings) -> dict[str, JsonValue]:
        begun = time.monotonic()
        with _product_stage(self._progress, product) as parts:
            cache = FeatureCache(self._settings, product, self._network, settings.region, settings.tiles)
            collector = PictureCollector(self._network, cache, settings.region, settings.tiles, parts)
            pictures = collector.collect(self._mirror, self.layout, product)
            self._findings += pictures.findings
            for finding in pictures.findings:
                parts.log(finding.summary)
            if not self._force:
                bad = [finding for finding in pictures.findings if finding.code == BAD_PICTURE]
                what = f"The memory bank of {product}"
                override = override_hint(shlex.quote(product))
                check_share(what, bad, pictures.usable, self._settings.jobs_findings, override)
            reader = bank_reader(self._settings, product)
            old = self._answering(reader, product)
            inputs = _inputs(pictures, settings, self._network.identity.sha256)
            unchanged = old is not None and old.content.facts.inputs == inputs and not reader.trouble
            if old is not None and unchanged and not self._force:
                parts.stage(Stage(id=PUBLISH, title="Nothing has changed", state=StageState.CACHED))
                bank, number, published = old.content, old.manifest.number, False
                parts.log(f"nothing has changed: generation {number} stays", PUBLISH)
            else:
                fit = self._chosen(product, pictures, settings, inputs, cache)
                bank = self._fit(fit, old.content if old is not None and not self._force else None, parts)
                with stage(parts, PUBLISH, "Publish"):
                    number = publish_bank(self._settings, bank).manifest.number
                published = True
                parts.log(f"generation {number} answers: {bank.facts.pictures} pictures", PUBLISH)
            cache.keep_only(pictures.normal | pictures.defects.keys())
            note_listed(bank_generations(self._settings, product), number, pictures.listed)
        if cache.trouble:
            what = f"The next rebuild of {product} computes all pictures again"
            self._findings.append(Finding.warning("features-not-kept", what, cache.trouble))
        facts = bank.facts
        return {
            "generation": number,
            "published": published,
            "pictures": facts.pictures,
            "defects": len(facts.defect_scores),
            "patches": facts.patches,
            "computed": pictures.computed,
            "fetched": pictures.fetched,
            "auroc": facts.auroc,
            "false_alarms": round(facts.false_alarms, 4),
            "seconds": round(time.monotonic() - begun, 2),
        }

    def _chosen(
        self, product: str, pictures: CollectedPictures, settings: ProductSettings, inputs: str, cache: FeatureCache
    ) -> ProductPictures:
        """The pictures that the bank is made from, and the defects that it is measured with."""
        normal, defects = pictures.in_order(pictures.normal), pictures.in_order(pictures.defects)
        numbers = MAX_NUMBERS - (MAX_HELD if cache.trouble else 0)
        room = numbers // (settings.tiles[0] * settings.tiles[1] * self._network.patches * self._network.channels)
        if len(normal) > room:
            if room < MIN_NORMALS:
                why = f"its memory has room for {room} pictures with these tiles and layers of the network"
                raise InputError(f"The memory bank of {product}", f"{why}, and {MIN_NORMALS} are needed", FEWER)
            what = f"The memory bank of {product} was built from {room} of {len(normal)} pictures"
            self._findings.append(Finding.note("sampled", what, "more do not fit into its memory"))
        if len(defects) > MAX_DEFECTS:
            what = f"The memory bank of {product} was measured with {MAX_DEFECTS} of {len(defects)} known defects"
            self._findings.append(Finding.note("sampled-defects", what, "more take minutes and say little more"))
        chosen = _evenly(normal, room)
        return ProductPictures(
            product=product,
            normal=[cache.load(sha256) for sha256 in chosen],
            names=[pictures.keys[sha256] for sha256 in chosen],
            defects=StoredDefects(
                cache, [(sha256, pictures.defects[sha256]) for sha256 in _evenly(defects, MAX_DEFECTS)]
            ),
            region=settings.region,
            tiles=settings.tiles,
            inputs=inputs,
        )

    def _fit(self, pictures: ProductPictures, old: ProductBank | None, parts: Progress) -> ProductBank:
        """The new bank. Raises InputError for one that is worse than the old one."""
        steps = _Steps(parts)
        options = FitOptions(
            threads=len(os.sched_getaffinity(0)), report=steps.report, stopped=self._progress.cancelled
        )
        with steps:
            bank = fit_product_bank(pictures, self._network, options)
        unlike = most_unlike(bank.facts, pictures.names)
        parts.log("normal pictures that differ most: " + "; ".join(f"{one.name} ({one.times:.2f})" for one in unlike))
        outliers = [one for one in unlike if one.is_outlier]
        self._findings += [one.finding for one in outliers]
        if old is not None:
            with steps:
                check_not_worse(bank, old, pictures.defects, [one.name for one in outliers], self._network, options)
        return bank

    def _answering(self, reader: GenerationReader[ProductBank], product: str) -> ReadGeneration[ProductBank] | None:
        """The bank that answers now; None for none that can be used."""
        what = f"The memory bank of {product}"
        try:
            old = reader.current()
        except NoGeneration:
            return None
        except BrokenGeneration as error:
            self._findings.append(Finding.warning("broken-bank", what, error.summary))
            return None
        if reader.trouble:
            self._findings.append(Finding.warning("broken-bank", what, reader.trouble))
        return old


class _Parts:
    """The progress of a product: its stages are parts of the product's."""

    def __init__(self, progress: Progress, parent: str) -> None:
        self._progress = progress
        self._parent = parent

    def stage(self, stage: Stage) -> None:
        own = {"id": f"{self._parent}/{stage.id}", "parent": self._parent}
        self._progress.stage(stage.model_copy(update=own))

    def log(self, line: str, stage: str = "") -> None:
        self._progress.log(line, f"{self._parent}/{stage}" if stage else self._parent)

    def cancelled(self) -> bool:
        return self._progress.cancelled()


def _stage_id(product: str) -> str:
    return f"product/{product}"


@contextmanager
def _product_stage(progress: Progress, product: str) -> Iterator[Progress]:
    with stage(progress, _stage_id(product), product):
        yield _Parts(progress, _stage_id(product))


class _Steps:
    """The stages of fitting. Whatever is running when the block fails has failed, too."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._running: Stage | None = None
        self._reported = 0.0

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InterruptedError):
            self._end(StageState.CANCELLED)
            raise Cancelled() from None
        self._end(StageState.DONE if error is None else StageState.FAILED)

    def report(self, step: str, done: int, total: int) -> None:
        if self._running is None or self._running.id != step:
            self._end(StageState.DONE)
            self._reported = 0.0
            self._running = Stage(
                id=step, title=TITLES[step], state=StageState.RUNNING, unit="steps", started=time.time()
            )
        self._running = self._running.model_copy(update={"done": done, "total": total})
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._reported = time.monotonic()
            self._progress.stage(self._running)

    def _end(self, state: StageState) -> None:
        if self._running is not None:
            self._progress.stage(self._running.model_copy(update={"state": state, "ended": time.time()}))
            self._running = None


def _inputs(pictures: CollectedPictures, settings: ProductSettings, network: str) -> str:
    """A hash of everything that a bank depends on."""
    content = {
        "recipe": RECIPE,
        "network": network,
        "region": settings.region.model_dump(),
        "tiles": settings.tiles,
        "normal": sorted(pictures.normal),
        "defects": sorted(pictures.defects.items()),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _evenly(items: Sequence[str], count: int) -> Sequence[str]:
    """All of them, or `count` of them, evenly from all."""
    if len(items) <= count:
        return items
    return [items[number * len(items) // count] for number in range(count)]


def _all_failed(failures: list[XaivaError]) -> XaivaError:
    if len(failures) == 1:
        return failures[0]
    first = failures[0]
    kind = InputError if all(isinstance(error, InputError) for error in failures) else XaivaError
    return kind("Memory banks", f"all {len(failures)} products failed; the first: {first.summary}", first.remedy)

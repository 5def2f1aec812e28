"""What is related to the row under the cursor, for each screen: a key goes from a thing to its relatives.

The first relative of a screen opens with `o`, `O` lists all of them. A new relative is one row of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core import labels

if TYPE_CHECKING:
    from core.api_schema import CameraStatus, Event, IndexStatus, Job, Product, Products, ServiceStatus
    from core.containers.model import Container
    from core.containers.processes import ListedProcess
    from core.engine_objects.model import EngineObject, Inventory
    from core.images.build_history import BuildRecord
    from core.operations.model import Operation
    from tui.app_protocol import ConsoleApp
    from tui.formatters.stacks import StackItem
    from tui.sources import Containers, PresetView
    from tui.stack_source import StackView


class NoRelative(Exception):
    """There is no such relative; the message says why."""


@dataclass(frozen=True)
class Relative:
    """`find(console, row, value)` returns the key of the row on the other screen. It raises NoRelative."""

    letter: str
    title: str
    screen: str
    """Where it is shown."""
    source: str
    """The source that knows it, whose `value` is given to `find`; "" when the row itself knows it."""
    find: Callable[[ConsoleApp, Any, Any], str]


# -- cameras and events ------------------------------------------------------------------------------------------------


def _events_of_camera(_: ConsoleApp, camera: CameraStatus, _value: None) -> str:
    return camera.id


def _container_of_camera(console: ConsoleApp, _: CameraStatus, value: Containers) -> str:
    name = console.service_address.container if console.service_address else ""
    if not any(container.name == name for container in value.containers):
        raise NoRelative("no container of this engine is known to run the service of this camera")
    return name


def _camera_of_event(_: ConsoleApp, event: Event, value: ServiceStatus) -> str:
    if event.product:
        raise NoRelative(f"no camera saw it, but an inspection of {event.product}: O shows that product")
    if not any(camera.id == event.camera for camera in value.cameras):
        raise NoRelative(f"the service has no camera {event.camera} any more, or you may not see it; its events stay")
    return event.camera


def _product_of_event(_: ConsoleApp, event: Event, value: Products) -> str:
    from tui.formatters.products import key_of

    if not event.product:
        raise NoRelative("a camera saw it: it is of no product")
    keys = (key_of(product) for product in value.products if product.name == event.product)
    return _first(keys, f"the service knows no product {event.product} any more; its events stay")


# -- presets -----------------------------------------------------------------------------------------------------------


def _newest_build(_: ConsoleApp, view: PresetView, value: list[BuildRecord]) -> str:
    name = view.entry.name
    return _first((build.id for build in value if build.preset == name), f"no build of {name} is kept: b builds it")


def _same_preset(_: ConsoleApp, view: PresetView, _value: None) -> str:
    return view.entry.name


def _containers_of_preset(_: ConsoleApp, view: PresetView, value: Containers) -> str:
    from tui.formatters.containers import sort_containers

    name = view.entry.name
    names = (container.name for container in sort_containers(value) if container.preset == name)
    return _first(names, f"no container was launched from {name}: L launches one")


# -- builds, containers, operations ------------------------------------------------------------------------------------


def _preset_of_build(_: ConsoleApp, build: BuildRecord, value: list[PresetView]) -> str:
    return _preset(build.preset, value)


def _containers_of_build(_: ConsoleApp, build: BuildRecord, value: Containers) -> str:
    names = (container.name for container in value.containers if _is_image_of(container, build))
    return _first(names, "no container was started from the image of this build")


def _operation_of_build(_: ConsoleApp, build: BuildRecord, value: list[Operation]) -> str:
    identifiers = (str(operation.id) for operation in value if _belongs_together(operation, build))
    return _first(identifiers, "the operation of this build is not in the ledger any more")


def _preset_of_container(_: ConsoleApp, container: Container, value: list[PresetView]) -> str:
    if not container.preset:
        raise NoRelative(f"{container.name} has no preset: it was not launched by xaiva")
    return _preset(container.preset, value)


def _build_of_container(_: ConsoleApp, container: Container, value: list[BuildRecord]) -> str:
    identifiers = (build.id for build in value if _is_image_of(container, build))
    return _first(identifiers, f"no kept build made the image of {container.name}")


def _cameras_of_container(console: ConsoleApp, container: Container, _value: None) -> str:
    if console.service_address is None or console.service_address.container != container.name:
        raise NoRelative(f"the cameras shown here are not those of {container.name}: F8 chooses the service")
    return ""


def _image_of_container(_: ConsoleApp, container: Container, value: Inventory) -> str:
    keys = (image.key for image in value.images if image.id == container.image_id)
    return _first(keys, f"the engine no longer lists the image of {container.name}")


def _image_of_build(_: ConsoleApp, build: BuildRecord, value: Inventory) -> str:
    keys = (image.key for image in value.images if image.build == build.id or image.id in _image_ids(build))
    return _first(keys, "the image of this build is not on this engine")


def _container_of_process(_: ConsoleApp, process: ListedProcess, _value: None) -> str:
    return _first([process.container] if process.container else [], "this process is in no container")


def _preset_of_operation(_: ConsoleApp, operation: Operation, value: list[PresetView]) -> str:
    return _preset(operation.subject, value)


def _build_of_operation(_: ConsoleApp, operation: Operation, value: list[BuildRecord]) -> str:
    identifiers = (build.id for build in value if _belongs_together(operation, build))
    return _first(identifiers, f"no kept build belongs to {operation.title()}, operation {operation.id}")


# -- stacks ------------------------------------------------------------------------------------------------------------


def _container_of_service(_: ConsoleApp, item: StackItem, _value: None) -> str:
    if item.service is None:
        raise NoRelative(f"{item.name} is a stack: move to one of its services")
    names = [item.container.name] if item.container else []
    return _first(names, f"{item.service.name} has no container, or it is not known")


def _preset_of_service(_: ConsoleApp, item: StackItem, value: list[PresetView]) -> str:
    if item.service is None or not item.service.preset:
        raise NoRelative("no preset makes its image")
    return _preset(item.service.preset, value)


def _service_of_container(_: ConsoleApp, container: Container, value: list[StackView]) -> str:
    if not container.project:
        raise NoRelative(f"{container.name} belongs to no compose project")
    stacks = (view.entry.stack for view in value if view.entry.stack and view.entry.stack.project == container.project)
    keys = (f"{stack.name}/{container.service}" for stack in stacks if container.service in stack.services)
    return _first(keys, f"no stack of this site has the service {container.service} of project {container.project}")


# -- what the engine holds ---------------------------------------------------------------------------------------------


def _container_of_object(_: ConsoleApp, item: EngineObject, _value: None) -> str:
    running_first = sorted(item.used_by, key=lambda use: not use.running)
    return _first((use.container for use in running_first), f"no container uses {item.name}")


def _preset_of_object(_: ConsoleApp, item: EngineObject, value: list[PresetView]) -> str:
    name = item.labels.get(labels.PRESET, "")
    if not name:
        raise NoRelative(f"{item.name} has no preset: it was not made from one")
    return _preset(name, value)


def _build_of_object(_: ConsoleApp, item: EngineObject, value: list[BuildRecord]) -> str:
    identity = item.labels.get(labels.BUILD_ID, "")
    keys = (build.id for build in value if build.id == identity or item.id in _image_ids(build))
    return _first(keys, f"no kept build made {item.name}")


# -- products and jobs -------------------------------------------------------------------------------------------------


def _job_of_product(_: ConsoleApp, item: Product | IndexStatus, value: list[Job]) -> str:
    from tui.formatters.products import newest_job

    job = newest_job(item, value)
    ids = [str(job.id)] if job else [str(item.last_job)] if item.last_job else []
    return _first(ids, f"no job has worked on {item.name} yet")


def _product_of_job(_: ConsoleApp, job: Job, value: Products) -> str:
    from tui.formatters.products import items, key_of, subject_keys

    wanted = subject_keys(job)
    keys = (key for key in map(key_of, items(value)) if key in wanted)
    return _first(keys, f"{job.title}, job {job.id}: it works on no single product")


def _first(keys: Iterable[str], missing: str) -> str:
    """The first key. Raises NoRelative with the text `missing`."""
    for key in keys:
        return key
    raise NoRelative(missing)


def _preset(name: str, views: list[PresetView]) -> str:
    return _first((view.entry.name for view in views if view.entry.name == name), f"this site has no preset {name}")


def _is_image_of(container: Container, build: BuildRecord) -> bool:
    """Whether the container was started from the image of this build. An engine's id of an image is one of these."""
    return bool(container.image_id) and container.image_id in _image_ids(build)


def _image_ids(build: BuildRecord) -> tuple[str, ...]:
    return build.image_id, build.config_digest, build.manifest_digest


def _belongs_together(operation: Operation, build: BuildRecord) -> bool:
    """Whether the build began while the operation ran: only one at a time works on a preset."""
    in_time = operation.started <= build.started and (operation.state.live or build.started <= operation.ended)
    return operation.subject == build.preset and bool(operation.started) and in_time


RELATIVES: dict[str, tuple[Relative, ...]] = {  # screen → the relatives of its rows
    "cameras": (
        Relative("e", "its events", "events", "", _events_of_camera),
        Relative("t", "the service's container", "containers", "containers", _container_of_camera),
    ),
    "events": (
        Relative("c", "its camera", "cameras", "cameras", _camera_of_event),
        Relative("d", "its product", "products", "products", _product_of_event),
    ),
    "presets": (
        Relative("b", "its newest build", "builds", "builds", _newest_build),
        Relative("a", "its artifacts", "artifacts", "", _same_preset),
        Relative("t", "its container", "containers", "containers", _containers_of_preset),
    ),
    "artifacts": (Relative("p", "its preset", "presets", "", _same_preset),),
    "builds": (
        Relative("n", "its image", "engine", "engine_objects", _image_of_build),
        Relative("p", "its preset", "presets", "presets", _preset_of_build),
        Relative("t", "a container of its image", "containers", "containers", _containers_of_build),
        Relative("w", "its operation", "operations", "operations", _operation_of_build),
    ),
    "containers": (
        Relative("p", "its preset", "presets", "presets", _preset_of_container),
        Relative("b", "the build of its image", "builds", "builds", _build_of_container),
        Relative("c", "its cameras", "cameras", "", _cameras_of_container),
        Relative("n", "its image", "engine", "engine_objects", _image_of_container),
        Relative("k", "its stack", "stacks", "stacks", _service_of_container),
    ),
    "stacks": (
        Relative("t", "its container", "containers", "", _container_of_service),
        Relative("p", "its preset", "presets", "presets", _preset_of_service),
    ),
    "engine": (
        Relative("t", "a container that uses it", "containers", "", _container_of_object),
        Relative("p", "its preset", "presets", "presets", _preset_of_object),
        Relative("b", "its build", "builds", "builds", _build_of_object),
    ),
    "processes": (Relative("t", "its container", "containers", "", _container_of_process),),
    "products": (Relative("j", "its newest job", "jobs", "recent_jobs", _job_of_product),),
    "jobs": (Relative("d", "its product or index", "products", "products", _product_of_job),),
    "operations": (
        Relative("p", "its preset", "presets", "presets", _preset_of_operation),
        Relative("b", "its build", "builds", "builds", _build_of_operation),
    ),
}

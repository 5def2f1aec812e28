"""What is known of a site: the facts from which its first steps follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from core.errors import XaivaError

if TYPE_CHECKING:
    from core.api_schema import ServiceStatus
    from core.containers.model import Container
    from core.operations.model import Operation

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Answer(Generic[T_co]):
    """What a source answered. With neither a value nor an error, it has not answered yet."""

    value: T_co | None = None
    error: XaivaError | None = None


def ask(source: Callable[[], T]) -> Answer[T]:
    """The answer of a function that may raise XaivaError."""
    try:
        return Answer(source())
    except XaivaError as error:
        return Answer(error=error)


@dataclass(frozen=True)
class LockFacts:
    """The lock of a preset, and how many of its files are in the artifacts folder with the right size."""

    sha256: str = ""
    """Empty without a lock."""
    stale: bool = False
    """Whether the preset has changed since."""
    files: int = 0
    missing_files: int = 0
    missing_bytes: int = 0


@dataclass(frozen=True)
class ImageFacts:
    """The engine's image of a preset, and the SHA-256 of the lock it was built from ("" if it does not say)."""

    exists: bool = False
    lock_sha256: str = ""


@dataclass(frozen=True)
class PresetFacts:
    """The preset that the steps follow. `name` is empty when the site has none that works on this machine."""

    name: str = ""
    reason: str = ""
    """Why it is this preset, or why there is none."""
    gpu: str = ""
    """The GPU of this machine, for which versions can be suggested; empty without one."""
    has_service: bool = True
    """Whether its image contains the inference service."""
    problem: XaivaError | None = None
    """Why the preset will not work."""
    lock: Answer[LockFacts] = Answer()
    image: Answer[ImageFacts] = Answer()
    operations: Answer[Sequence[Operation]] = Answer()
    """The operations on this preset, newest first."""
    progress: str = ""
    """The stage of the operation that is running now, such as `Fetch 67 %`."""


@dataclass(frozen=True)
class Facts:
    """Everything that the first steps depend on."""

    site: str
    """The site's folder, as containers name it."""
    containers: Answer[Sequence[Container]]
    preset: Answer[PresetFacts]
    service: Answer[ServiceStatus]
    install: Sequence[str] = ()
    """The command lines that install an engine on this machine; empty when none are needed or known."""

"""Products: what an inspection looks at; their indexes, memory banks, settings and inspections."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator
from typing_extensions import Self

from core.api_schema.base import (
    ONE_VISIBLE_LINE,
    VISIBLE_LINES,
    Fraction,
    Name,
    RequestModel,
    ResponseModel,
    StrictBool,
    TimeOfDay,
    Timestamp,
    Weekday,
)
from core.open_enum import OpenEnum

ProductName = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f\x7f]{1,100}$"), ONE_VISIBLE_LINE]
"""The name of its folder in the storage; may be Hangul, may have blanks."""
ProductOrNone = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f\x7f]{0,100}$"), ONE_VISIBLE_LINE]
_MOST_NAME_BYTES = 255  # of a file or folder, on most file systems


def _check_folder_name(name: str) -> str:
    if "/" in name or name.startswith("."):
        raise ValueError("it names a folder of the storage: it cannot contain / or start with a dot")
    if (size := len(name.encode())) > _MOST_NAME_BYTES:
        raise ValueError(f"it names a folder of the storage: it has {size} bytes, and {_MOST_NAME_BYTES} are allowed")
    return name


PartId = Annotated[str, Field(max_length=200), ONE_VISIBLE_LINE]


class Generation(ResponseModel):
    """One generation of an index or a memory bank."""

    number: int
    made: Timestamp
    pictures: int = 0
    entries: int = 0
    """Vectors of an index, patches of a memory bank."""
    model: Annotated[str, ONE_VISIBLE_LINE] = ""
    """The network's name and the start of its SHA-256."""
    current: bool = False
    why: Annotated[str, ONE_VISIBLE_LINE] = ""
    """Why it cannot be used; empty: it can."""


class Region(RequestModel):
    """A rectangle of the picture as fractions of its width and height."""

    left: Fraction = 0.0
    top: Fraction = 0.0
    right: Fraction = 1.0
    bottom: Fraction = 1.0

    @model_validator(mode="after")
    def _has_an_area(self) -> Self:
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError("right must be greater than left, and bottom greater than top")
        return self


class RebuildSchedule(RequestModel):
    """When a product's memory bank is rebuilt, and both indexes with it, in the service's time zone."""

    days: Annotated[tuple[Weekday, ...], Field(max_length=7)] = (0, 1, 2, 3, 4, 5, 6)
    at: TimeOfDay


class ProductSettings(RequestModel):
    """The settings of a product."""

    threshold: Fraction | None = None
    """From which score on it is a defect; None: the one that its memory bank measured (0.5)."""
    region: Region = Region()
    """The part of the picture that is inspected."""
    tiles: tuple[Annotated[int, Field(ge=1, le=8)], Annotated[int, Field(ge=1, le=8)]] = (1, 1)
    """Columns and rows into which the region is divided, for small defects."""
    events: StrictBool = True
    """Whether a defect becomes an event."""
    flow: Name = "default"
    """The flow of these events."""
    rebuild: RebuildSchedule | None = None


class Product(ResponseModel):
    """A product with what is known of it."""

    name: Annotated[str, ONE_VISIBLE_LINE]
    normal: int | None = None
    """Pictures in the storage; None: not known, because the storage does not answer. So is `defect`."""
    defect: int | None = None
    defect_types: dict[str, int] = {}
    settings: ProductSettings = ProductSettings()
    threshold: float = 0.5
    """The one in force."""
    bank: Generation | None = None
    previous_bank: Generation | None = None
    last_job: int = 0
    """The newest job that rebuilt its memory bank; 0: none."""
    inspected: int = 0
    """Inspections that are kept, and how many of them found a defect."""
    defective: int = 0
    last_inspection: Timestamp | None = None
    trouble: list[Annotated[str, ONE_VISIBLE_LINE]] = []
    """What is wrong, as sentences: no bank, pictures newer than the bank, a bank that cannot be read."""


class IndexStatus(ResponseModel):
    """The index of all normal or of all defect pictures."""

    name: str
    """normal or defect."""
    current: Generation | None = None
    previous: Generation | None = None
    last_job: int = 0
    trouble: list[Annotated[str, ONE_VISIBLE_LINE]] = []


class Products(ResponseModel):
    """All products and both indexes."""

    products: list[Product]
    indexes: list[IndexStatus] = []
    storage: str = ""
    """Where pictures come from, without credentials."""
    storage_trouble: Annotated[str, ONE_VISIBLE_LINE] = ""
    """Why the storage cannot be read; empty: it can."""
    counted: Timestamp | None = None
    """When the pictures in the storage were counted."""
    normal_folder: Annotated[str, ONE_VISIBLE_LINE] = "normal"
    """The folder of all normal pictures there; so is `defect_folder`."""
    defect_folder: Annotated[str, ONE_VISIBLE_LINE] = "defect"


class ScoreHistogram(ResponseModel):
    """Scores of held-out normals and of known defects, as the newest memory bank measured them: 20 equal bins."""

    product: str
    threshold: float
    normal: list[int]
    defect: list[int]


class Verdict(OpenEnum):
    """The outcome of an inspection."""

    NORMAL = "normal"
    DEFECT = "defect"


class Neighbour(ResponseModel):
    """A known picture that looks most like the inspected one."""

    key: str
    label: Annotated[str, ONE_VISIBLE_LINE]
    """normal, or the type of the defect."""
    product: Annotated[str, ONE_VISIBLE_LINE]
    similarity: float
    """Cosine of the embeddings, -1 to 1."""


class Correction(RequestModel):
    """What a person says about an inspection. The next rebuild learns from it."""

    verdict: Verdict
    defect_type: Annotated[str, Field(max_length=100), ONE_VISIBLE_LINE, AfterValidator(_check_folder_name)] = ""
    """The name of its folder in the storage; needed for the verdict defect."""
    note: Annotated[str, VISIBLE_LINES, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _a_defect_has_a_type(self) -> Self:
        if (self.verdict is Verdict.DEFECT) != bool(self.defect_type):
            raise ValueError("defect_type is needed for the verdict defect, and only for it")
        return self


class Inspection(ResponseModel):
    """One inspected picture."""

    id: str
    """A UUIDv7: ids sort by time. Empty if it could not be stored."""
    product: Annotated[str, ONE_VISIBLE_LINE]
    part: Annotated[str, ONE_VISIBLE_LINE] = ""
    """The id of the part or lot."""
    at: Timestamp
    score: float
    threshold: float
    verdict: Verdict
    bank: int
    """The generation of the memory bank; so are the two of the indexes, 0 for none."""
    normal_index: int = 0
    defect_index: int = 0
    normals: list[Neighbour] = []
    defects: list[Neighbour] = []
    event: str = ""
    """The id of its event, if it became one."""
    picture: bool = False
    """Whether the picture is kept."""
    corrected: Verdict | None = None
    corrected_type: Annotated[str, ONE_VISIBLE_LINE] = ""
    corrected_by: str = ""
    note: Annotated[str, VISIBLE_LINES] = ""
    seconds: dict[str, float] = {}
    """What took how long: decode, features (loading its network), score, neighbours, keep (the picture), total."""
    heat_map: str = ""
    """PNG in base64, on request: the score of each place, as wide and high as the patches."""
    explanation: str = ""
    """Why there are no neighbours, or what else is missing."""


class InspectionQuery(RequestModel):
    """A filter for inspections, newest first."""

    product: ProductName | None = None
    part: PartId | None = None
    verdict: Verdict | None = None
    corrected: bool | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None
    minimum_score: Annotated[float, Field(ge=0, le=1)] | None = None
    cursor: Annotated[str, Field(max_length=500)] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class InspectionPage(ResponseModel):
    """A page of inspections, newest first."""

    inspections: list[Inspection]
    next: str = ""


class DeploymentRequest(RequestModel):
    """Which memory bank to rebuild."""

    product: ProductName | None = None
    """None: those of all products."""


class DeploymentTask(ResponseModel):
    """The answer of the short routes below `/api/admin/deployment`, for web pages that know only these."""

    task_id: str
    status: str
    kind: Literal["clip", "patchcore"] = "clip"
    subject: str = ""
    progress: float = 0
    """0 to 1."""
    message: Annotated[str, ONE_VISIBLE_LINE] = ""
    result: dict[str, JsonValue] | None = None
    lines: list[str] = []
    """The last lines of its log; only in the answer of `logs`."""

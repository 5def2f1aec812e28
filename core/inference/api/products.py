"""Products over HTTP: what is known of them, their settings, and rebuilding their memory banks and the indexes."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Response

from core.api_schema import Job, Product, Products, ProductSettings, Role, ScoreHistogram
from core.api_schema.products import ProductName
from core.inference.api.access import CurrentCaller, Service, require_inspection, require_role
from core.inference.api.jobs import Asking, announce
from core.inference.api.threads import DATABASE, JOBS, OBJECT_STORAGE, in_bulkhead, routes_in
from core.inference.inspection.inspection_service import InspectionService

router = APIRouter(tags=["products"], route_class=routes_in(DATABASE))

PathProduct = Annotated[ProductName, Path()]
PathIndex = Annotated[Literal["normal", "defect"], Path()]
Force = Annotated[bool, Query()]


async def get_inspection(service: Service, caller: CurrentCaller) -> InspectionService:
    """The inspection of the service. Raises InsufficientRole for users who see some cameras alone."""
    require_inspection(caller, "Inspections")
    return service.inspection


Inspecting = Annotated[InspectionService, Depends(get_inspection)]


@router.get("/products", **require_role(Role.VIEWER, 403))
def products(inspection: Inspecting) -> Products:
    """All products and both indexes. Counts are None while the storage does not answer."""
    return inspection.catalogue.products()


@router.get("/products/{product}", **require_role(Role.VIEWER, 403, 404))
def product(inspection: Inspecting, product: PathProduct) -> Product:
    """A product with its memory bank and what is wrong with it."""
    return inspection.catalogue.product(product)


@router.get("/products/{product}/settings", **require_role(Role.VIEWER, 403, 404))
def settings(inspection: Inspecting, product: PathProduct) -> ProductSettings:
    """The settings of a product."""
    return inspection.settings(product)


@router.put("/products/{product}/settings", **require_role(Role.ADMIN, 404))
@in_bulkhead(OBJECT_STORAGE)
def set_settings(inspection: Inspecting, product: PathProduct, body: ProductSettings) -> ProductSettings:
    """Replace all settings of a product. Region and tiles apply to memory banks that are built from then on."""
    return inspection.set_settings(product, body)


@router.get("/products/{product}/histogram", **require_role(Role.VIEWER, 403, 404, 409))
def histogram(inspection: Inspecting, product: PathProduct) -> ScoreHistogram:
    """The scores of held-out normal pictures and of known defects. 409 without a memory bank."""
    return inspection.histogram(product)


@router.post("/products/{product}/rebuild", status_code=202, **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(OBJECT_STORAGE)
def rebuild(
    inspection: Inspecting,
    product: PathProduct,
    response: Response,
    asker: Asking,
    force: Force = False,
) -> Job:
    """Start the job that rebuilds the product's memory bank. `force`: publish it even if it is worse."""
    inspection.find(product)
    return _started(response, inspection.start_job("banks", product, asker.by, force=force, request_key=asker.key))


@router.post("/products/{product}/rollback", status_code=202, **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(JOBS)
def rollback(inspection: Inspecting, product: PathProduct, response: Response, asker: Asking) -> Job:
    """Start the job that makes the product's previous memory bank the current one."""
    inspection.check(product)
    return _started(response, inspection.start_job("rollback", f"bank:{product}", asker.by, request_key=asker.key))


@router.post("/indexes/{index}/rebuild", status_code=202, **require_role(Role.OPERATOR, 409))
@in_bulkhead(JOBS)
def rebuild_index(
    inspection: Inspecting,
    index: PathIndex,
    response: Response,
    asker: Asking,
    force: Force = False,
) -> Job:
    """Start the job that rebuilds the index of all normal or all defect pictures."""
    return _started(response, inspection.start_job("index", index, asker.by, force=force, request_key=asker.key))


@router.post("/indexes/{index}/rollback", status_code=202, **require_role(Role.OPERATOR, 409))
@in_bulkhead(JOBS)
def rollback_index(inspection: Inspecting, index: PathIndex, response: Response, asker: Asking) -> Job:
    """Start the job that makes the previous index the current one."""
    return _started(response, inspection.start_job("rollback", f"index:{index}", asker.by, request_key=asker.key))


def _started(response: Response, job: Job) -> Job:
    announce(response, f"/jobs/{job.id}")
    return job

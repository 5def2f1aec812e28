"""The FastAPI application over an `InferenceService`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from core.inference.api import (
    access,
    auth,
    cameras,
    deployment,
    errors,
    events,
    health,
    inspections,
    job_streams,
    jobs,
    media,
    metrics,
    products,
    rules,
    sockets,
    statistics,
    status,
    storage,
    users,
)
from core.inference.api.middleware import RequestGuard
from core.inference.api.threads import LIFECYCLE, run_in
from core.inference.service import InferenceService, own_version

logger = logging.getLogger(__name__)

_ROUTE_MODULES = (
    *(health, metrics, auth, users, cameras, status, events, media, statistics, rules),
    *(job_streams, jobs, deployment),  # in this order: /jobs/stream is not the job "stream"
    *(products, inspections, storage),
)


def create_app(service: InferenceService) -> FastAPI:
    """Create the application, which starts and stops the service with itself.

    Browsers may use it only from the origins in XAIVA_CORS_ORIGINS. Set the asyncio event `app.state.closing` from the
    event loop to end the open streams. Raises XaivaError when a route has no access rule.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.loop = asyncio.get_running_loop()
        app.state.closing = asyncio.Event()
        await run_in(LIFECYCLE, service.start)
        yield
        for camera in await run_in(LIFECYCLE, service.stop):
            logger.warning("camera %s: its reader hangs and was abandoned", camera)

    app = FastAPI(
        title="xaiva inference",
        version=own_version(),
        lifespan=lifespan,
        docs_url=None,  # the documentation pages load scripts from the internet
        redoc_url=None,
        redirect_slashes=False,
        responses=errors.problem_responses(*errors.COMMON_CODES),
    )
    app.state.service = service
    errors.install(app, [route for module in _ROUTE_MODULES for route in access.checked_routes(module.router)])
    sockets.install(app)
    for module in _ROUTE_MODULES:
        app.include_router(module.router)
    app.add_middleware(RequestGuard)
    origins = service.settings.cors_origins.replace(",", " ").split()
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Range"],
            expose_headers=["Content-Range", "ETag", "Location", "Retry-After", "X-Frame-Age"],
        )
    return app

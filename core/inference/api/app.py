"""The FastAPI application over an `InferenceService`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from core.inference.api import cameras, errors, health, status
from core.inference.api.access import authorised
from core.inference.service import InferenceService, own_version

logger = logging.getLogger(__name__)


def create_app(service: InferenceService, token: str = "") -> FastAPI:
    """The application; starts and stops the service with itself.

    `token`: what callers must carry; empty for none. No cross-origin request is allowed. `app.state.closing` is an
    asyncio event; set it from the event loop to end the open status streams.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.loop = asyncio.get_running_loop()
        app.state.closing = asyncio.Event()
        service.start()
        yield
        for camera in await asyncio.to_thread(service.stop):
            logger.warning("camera %s: its reader hangs and is left behind", camera)

    # The documentation pages would load their scripts from the internet.
    app = FastAPI(title="xaiva inference", version=own_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.state.token = token
    errors.install(app)
    app.include_router(health.router)
    app.include_router(status.router, dependencies=[Depends(authorised)])
    app.include_router(cameras.router, dependencies=[Depends(authorised)])
    return app

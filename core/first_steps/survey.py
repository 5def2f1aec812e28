"""Asks everything that the first steps depend on, once; and what to install when there is no engine."""

from __future__ import annotations

from contextlib import closing

from core.containers.listing import list_containers
from core.containers.model import Container
from core.containers.service_discovery import connect_service
from core.engine import INSTALL_REMEDY, connect_engine
from core.errors import XaivaError
from core.first_steps.facts import Facts, ask
from core.first_steps.preset_survey import ENGINE_SECONDS, PresetSurvey
from core.install_commands import InstallAdvice, engine_install_commands
from core.site import Site

SERVICE_SECONDS = 3.0  # timeout of one call


def survey(site: Site) -> Facts:
    """The facts of a site now; an engine, a service or a file that fails is part of them."""

    def containers() -> list[Container]:
        with closing(connect_engine(site, ENGINE_SECONDS)) as client:
            return list_containers(client)

    engine = ask(containers)
    advice = install_advice(engine.error) if engine.error else None
    return Facts(
        site=str(site.root),
        containers=engine,
        preset=ask(PresetSurvey(site).look),
        service=ask(lambda: connect_service(site, SERVICE_SECONDS).status()),
        install=advice.commands if advice else (),
    )


def install_advice(error: XaivaError) -> InstallAdvice | None:
    """What to install when `error` says why no engine answers; None when this machine's own is not what is missing."""
    return engine_install_commands() if error.remedy == INSTALL_REMEDY else None

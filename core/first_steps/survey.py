"""Asks everything that the first steps depend on, once; and what to install when there is no engine."""

from __future__ import annotations

from contextlib import closing

from core.containers.listing import list_containers
from core.containers.model import Container
from core.containers.service_discovery import connect_service
from core.engine import EngineError, connect_engine, resolve_endpoint
from core.first_steps.facts import Facts, ask
from core.first_steps.preset_survey import ENGINE_SECONDS, PresetSurvey
from core.install_commands import InstallAdvice, engine_install_commands, engine_is_installed
from core.site import Site

SERVICE_SECONDS = 3.0  # timeout of one call


def survey(site: Site) -> Facts:
    """The facts of a site now; an engine, a service or a file that fails is part of them."""

    def containers() -> list[Container]:
        with closing(connect_engine(site, ENGINE_SECONDS)) as client:
            return list_containers(client)

    engine = ask(containers)
    advice = install_advice(site) if engine.error else None
    return Facts(
        site=str(site.root),
        containers=engine,
        preset=ask(PresetSurvey(site).look),
        service=ask(lambda: connect_service(site, SERVICE_SECONDS).status()),
        install=advice.commands if advice else (),
    )


def install_advice(site: Site) -> InstallAdvice | None:
    """What to install to get an engine; None when one is installed already, or the site's engine is on another host."""
    try:
        if not resolve_endpoint(site).local:
            return None
    except EngineError:
        return None  # the settings name no engine that could be installed
    return None if engine_is_installed() else engine_install_commands()

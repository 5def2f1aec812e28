"""The routes in the documentation are those of the service, with their roles, parameters and bodies."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from core.api_schema import API_VERSION
from core.inference.api.access import required_role
from core.inference.api.app import create_app
from core.inference.service import InferenceService
from core.inference.settings import ServiceSettings
from tests.docs.pages import Piece, all_blocks, all_spans, check, page
from tests.docs.shell import of_block

NAMED = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/[^\s?]*)(?:\?(\S*))?(?: (.*))?")
PARAMETER = re.compile(r"\{\w+\}|[A-Z]+")
OPENAPI = "/openapi.json"  # FastAPI's own, which is not in the document


class Routes:
    """The service's application and its OpenAPI document."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    @cached_property
    def document(self) -> dict[str, Any]:
        """As the service answers it."""
        return self.app.openapi()

    def find(self, method: str, path: str, *, sample: bool = False) -> str | None:
        """The route's path in the OpenAPI document. A `sample` has values in place of parameters."""
        if path == OPENAPI:
            return path
        fitting = [
            template
            for template, methods in self.document["paths"].items()
            if method.lower() in methods and _fits(path, template, sample=sample)
        ]
        return min(fitting, key=lambda template: template.count("{"), default=None)

    def problem(self, method: str, path: str, query: str, body: str, *, sample: bool = False) -> str:
        """The problem with a request; empty: none."""
        template = self.find(method, path, sample=sample)
        if template is None:
            return f"{method} {path}: there is no such route"
        if template == OPENAPI:
            return ""
        route = self.document["paths"][template][method.lower()]
        known_keys = {parameter["name"] for parameter in route.get("parameters", ()) if parameter["in"] == "query"}
        given_keys = {pair.partition("=")[0] for pair in query.split("&") if pair}
        if given_keys - known_keys:
            return f"{method} {template}: there is no parameter {', '.join(sorted(given_keys - known_keys))}"
        return self._body_problem(f"{method} {template}", route, body)

    def _body_problem(self, name: str, route: dict[str, Any], body: str) -> str:
        try:
            content = json.loads(body)
        except ValueError:
            return ""  # nothing, or in outline: {"ids": […]}
        schema = route["requestBody"]["content"]["application/json"]["schema"]
        try:
            jsonschema.validate(content, {**schema, "components": self.document["components"]})
        except jsonschema.ValidationError as error:
            return f"{name}: {error.message}"
        return ""


def _fits(path: str, template: str, *, sample: bool) -> bool:
    ours, theirs = path.split("/"), template.split("/")
    return len(ours) == len(theirs) and all(
        (sample or PARAMETER.fullmatch(one)) if PARAMETER.fullmatch(other) else one == other
        for one, other in zip(ours, theirs, strict=True)
    )


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Routes:
    """The routes of a service that is not started."""
    return Routes(create_app(InferenceService(ServiceSettings(data=tmp_path_factory.mktemp("data")))))


def _requests_of_curl(block: Piece) -> Iterator[tuple[Piece, str, str, str, str]]:
    for piece, words in of_block(block):
        if words[0] != "curl":
            continue
        address = next(word for word in words if word.startswith("$URL")).removeprefix("$URL")
        after = dict(itertools.pairwise(words))
        path, _, query = address.partition("?")
        yield piece, after.get("-X", "POST" if "-d" in words else "GET"), path, query, after.get("-d", "")


def test_every_route_that_is_named_exists(routes: Routes) -> None:
    named = [(span, match) for span in all_spans() if (match := NAMED.fullmatch(span.text))]
    assert len(named) > 50
    check(
        f"{span.place}: {problem}"
        for span, match in named
        if (problem := routes.problem(match[1], match[2], match[3] or "", match[4] or ""))
    )


def test_every_path_on_the_page_of_the_api_exists(routes: Routes) -> None:
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    check(
        f"{span.place}: {span.text}: there is no such route"
        for span in page("docs/api.md").spans
        if span.text.startswith("/") and not any(routes.find(method, span.text) for method in methods)
    )


def test_every_request_by_curl_is_one(routes: Routes) -> None:
    requests = [request for block in all_blocks() for request in _requests_of_curl(block)]
    assert len(requests) >= 8
    check(
        f"{piece.place}: {problem}"
        for piece, *request in requests
        if (problem := routes.problem(*request, sample=True))
    )


def test_every_route_is_on_the_page_of_the_api_with_its_role(routes: Routes) -> None:
    documented = {
        (match[1], routes.find(match[1], match[2]) or match[2]): row[1].source.text
        for row in page("docs/api.md").table("Routes").rows
        for span in row[0].spans
        if (match := NAMED.fullmatch(span.text))
    }
    roles = {
        (method, route.path_format): role.value if (role := required_role(route)) else "everybody"
        for route in routes.app.state.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    check(
        f"docs/api.md, Routes: {' '.join(route)}: {documented.get(route)!r} here, {roles.get(route)!r} in the code"
        for route in sorted(documented.keys() | roles.keys())
        if documented.get(route) != roles.get(route)
    )


def test_every_parameter_and_error_is_on_the_page_of_the_api(routes: Routes) -> None:
    api = page("docs/api.md")
    spans = {span.text for span in api.spans} | {
        word for span in api.spans for word in re.findall(r"[?&](\w+)=", span.text)
    }
    parameters, codes = set(), set()
    for methods in routes.document["paths"].values():
        for route in methods.values():
            parameters |= {parameter["name"] for parameter in route.get("parameters", ()) if parameter["in"] == "query"}
            codes |= {int(code) for code in route["responses"] if int(code) >= 400}
    assert parameters - spans == set()
    assert {int(code) for row in api.table("Errors").rows for code in row[0].source.text.split(",")} ^ codes == set()
    assert f"(now {API_VERSION})" in api.text

"""The ASGI app of an HTTP server: the routes of endpoints, metrics, pages and OpenAPI, behind the check of API keys.

The key check is part of the app, so that no request reaches an endpoint without it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from service import schema
from service.auth.http_key_check import HttpKeyCheck
from service.auth.key_check import KeyCheck
from service.http.endpoints import Endpoints
from service.http.error_responses import error_response, json_error, method_refused, nothing_at
from service.http.openapi import openapi
from service.http.page_data import explorer_page
from service.pages import files
from service.telemetry import metrics


def http_app(
    endpoints: Endpoints,
    key_check: KeyCheck | None,
    *,
    admin: bool = False,
    admin_address: str = "",
    page_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """The app of the public port, or of the admin port.

    key_check: None if requests need no key; then there is no admin port, and the public port has every route.
    admin_address: where the admin port is, in words. page_routes: of the data of pages.
    """
    keys = []
    if key_check is not None:
        keyless = files.PATHS if admin else ()
        keys = [
            Middleware(HttpKeyCheck, key_check=key_check, keyless=keyless, admin=admin, admin_address=admin_address)
        ]
    routes = _routes(endpoints, keyed=key_check is not None)
    app = Starlette(routes=[*routes, *page_routes], middleware=keys, exception_handlers={HTTPException: _http_error})
    app.router.redirect_slashes = False  # a path with one more slash does not exist
    return app


def _routes(endpoints: Endpoints, keyed: bool) -> Sequence[BaseRoute]:
    async def document(_: Request) -> Response:
        return Response(_document(keyed), media_type="application/json")

    return [
        *endpoints.routes(),
        *explorer_page.routes(endpoints),
        Route("/openapi.json", document, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
        *files.ROUTES,
    ]


@cache
def _document(keyed: bool) -> bytes:
    """Made once: 50 kB of JSON take 1 ms."""
    return json.dumps(openapi(keyed)).encode()


def _metrics(_: Request) -> Response:
    """Not async, so that Starlette calls it in a thread: it reads files."""
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


async def _http_error(request: Request, error: Exception) -> Response:
    """The response for an error of Starlette's routing: no such path, or no such method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return error_response(nothing_at(request.url.path))
    if error.status_code == 405 and error.headers:
        return method_refused(request.url.path, error.headers["Allow"].split(", "))
    return json_error(error.status_code, schema.ErrorBody(code="http", message=f"{error.detail}."))

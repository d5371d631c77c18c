"""Answers 429 while the recommender is full, before the body of the request is read or parsed."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.endpoints import Endpoints
from service.http.errors import error_response
from service.recommend.admission import overloaded
from service.schema.verbs import TIMED
from service.telemetry import metrics

_VERBS = {verb.path: verb.name for verb in TIMED}

_FULL = error_response(overloaded())


class Overload:
    """An ASGI middleware before the verbs that make slates."""

    def __init__(self, app: ASGIApp, endpoints: Endpoints) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and self._endpoints.full and (verb := _VERBS.get(scope["path"])):
            metrics.timed(verb, _FULL.status_code)(0.0)
            await _FULL(scope, receive, send)
        else:
            await self._app(scope, receive, send)

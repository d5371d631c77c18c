"""The HTTP door: parse, call the recommender, map errors; and no more. JSON in, JSON out, one shape of error."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match, Route

from recsys.errors import NoGeneration, QueryError, TandemError
from service import answers, deadline, schema
from service.http import bodies, headers, paths
from service.http.openapi import openapi
from service.http.paths import MergeRoute, UserRoute
from service.pages import api
from service.recommender import Recommender
from service.schema.verdict import AGAIN, INTERNAL, checked, error_body
from service.telemetry import metrics

logger = logging.getLogger("tandem")

Verb = Callable[[Request], Awaitable[BaseModel]]

_STATUS = {
    "unauthenticated": 401,
    "forbidden": 403,
    "limited": 429,
    "overloaded": 429,
    "not_found": 404,
    "method": 405,
    "timeout": 408,
    "too_large": 413,
    "not_json": 400,
    "media_type": 415,
    "full": 409,
}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

PAGE = Path(__file__).parents[1] / "pages" / "index.html"


class Door:
    """The ASGI app; `recommender` is set when the process has one. document: gives what /openapi.json says."""

    def __init__(self) -> None:
        self.recommender: Recommender | None = None
        self.document = openapi
        recommend, events = self._verb("recommend", self._recommend), self._verb("events", self._events)
        # What is asked all the time needs no routing: it takes longer than to parse the body.
        self.hot = {"/recommend": recommend, "/events": events}
        self.app = Starlette(
            routes=[
                Route("/recommend", recommend, methods=["POST"]),
                Route("/similar", self._verb("similar", self._similar), methods=["POST"]),
                Route("/explain", self._verb("explain", self._explain), methods=["POST"]),
                Route("/events", events, methods=["POST"]),
                Route("/items", self._verb("items", self._items), methods=["PUT"]),
                Route("/items/{item_id:path}", self._verb("item", self._item), methods=["GET"]),
                Route("/items/{item_id:path}", self._verb("forget_item", self._forget_item), methods=["DELETE"]),
                MergeRoute("/users/{user_id:path}/merge", self._verb("merge", self._merge), methods=["POST"]),
                UserRoute("/users/{user_id:path}", self._verb("user", self._user), methods=["GET"]),
                UserRoute("/users/{user_id:path}", self._verb("forget", self._forget), methods=["DELETE"]),
                Route("/status", self._verb("status", self._status), methods=["GET"]),
                Route("/openapi.json", self._openapi, methods=["GET"]),
                Route("/metrics", _metrics, methods=["GET"]),
                Route("/", self._page, methods=["GET"]),
                *api.ROUTES,
                Route("/{path:path}", self._not_found, methods=_METHODS),
            ],
            exception_handlers={HTTPException: self._http_error},
        )

    async def recommend(self, body: bytes, asked: Sequence[str]) -> bytes | Response:
        """The JSON of a slate, or the answer that an error becomes; asked: what the request says of its deadline."""

        async def work() -> BaseModel:
            recommender = self._ready()
            due = recommender.due(deadline.asked_seconds(asked))
            return await _slates(recommender, bodies.parsed(body, schema.RecommendRequest), due)

        return await _answered("recommend", work())

    async def _recommend(self, request: Request) -> BaseModel:
        due = self._due(request)
        return await _slates(self._ready(), await bodies.body(request, schema.RecommendRequest), due)

    async def _similar(self, request: Request) -> BaseModel:
        due = self._due(request)
        return await self._ready().similar(await bodies.body(request, schema.SimilarRequest), due)

    async def _explain(self, request: Request) -> BaseModel:
        due = self._due(request)
        return await self._ready().explain(await bodies.body(request, schema.ExplainRequest), due)

    async def _events(self, request: Request) -> BaseModel:
        return await self._ready().add_events(await bodies.events(request))

    async def _items(self, request: Request) -> BaseModel:
        body = await bodies.body(request, schema.ItemsRequest)
        return await self._ready().put_items(body.items)

    async def _item(self, request: Request) -> BaseModel:
        return await self._ready().item(paths.item_id(request))

    async def _forget_item(self, request: Request) -> BaseModel:
        return await self._ready().forget_item(paths.item_id(request))

    async def _user(self, request: Request) -> BaseModel:
        return await self._ready().user(paths.user_id(request))

    async def _forget(self, request: Request) -> BaseModel:
        return await self._ready().forget(paths.user_id(request))

    async def _merge(self, request: Request) -> BaseModel:
        user_id = paths.user_id(request)
        told = await bodies.body(request, schema.MergeBody)
        merge = checked(schema.MergeRequest, {"user_id": user_id, "into": told.into})
        return await self._ready().merge(merge.user_id, merge.into)

    async def _status(self, _: Request) -> BaseModel:
        return self._ready().status()

    def _due(self, request: Request) -> float:
        """When the answer must be there, counted from when the request came."""
        return self._ready().due(deadline.asked_seconds(request.headers.getlist(deadline.HEADER)))

    async def _openapi(self, _: Request) -> Response:
        return Response(_document(self.document), media_type="application/json")

    async def _page(self, _: Request) -> Response:
        page = PAGE.read_text(encoding="utf-8")
        return HTMLResponse(page, headers=headers.of_page(page))

    async def _not_found(self, request: Request) -> Response:
        routes = [route for route in self.app.routes[:-1] if isinstance(route, Route)]
        here = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
        if here:
            allowed = ", ".join(sorted({method for route in here for method in route.methods or ()}))
            response = error_response(QueryError(f"{here[0].path_format} takes {allowed}.", code="method"))
            response.headers["allow"] = allowed
            return response
        return error_response(nothing_at(request.url.path))

    async def _http_error(self, request: Request, error: Exception) -> Response:
        """What the routing says by itself: of a method that no verb has, too."""
        assert isinstance(error, HTTPException)
        return (
            await self._not_found(request)
            if error.status_code == 405
            else _json_error(error.status_code, schema.ErrorBody(code="http", message=f"{error.detail}."))
        )

    def _ready(self) -> Recommender:
        if self.recommender is None:
            raise NoGeneration("The service is starting.")
        return self.recommender

    def _verb(self, name: str, verb: Verb) -> Callable[[Request], Awaitable[Response]]:
        """A verb as a route has it."""

        async def answer(request: Request) -> Response:
            told = await _answered(name, verb(request))
            return Response(told, media_type="application/json") if isinstance(told, bytes) else told

        return answer


async def _slates(recommender: Recommender, request: schema.RecommendRequest, due: float) -> BaseModel:
    slates = [answers.slate(query) for query in await recommender.recommend(request, due)]
    return slates[0] if request.user_ids is None else schema.SlatesResponse.model_construct(slates=slates)


async def _answered(name: str, work: Awaitable[BaseModel]) -> bytes | Response:
    """The JSON that a verb's work gives, or the answer that an error becomes; timed and counted."""
    start, status = time.monotonic(), 200
    told: bytes | Response
    try:
        told = (await work).model_dump_json().encode()
    except TandemError as error:
        told = error_response(error)
    except ClientDisconnect:
        told = Response(status_code=400)  # nobody is there to read it
    except Exception:
        logger.exception("%s failed", name)
        told = _json_error(500, INTERNAL)
    if isinstance(told, Response):
        status = told.status_code
    metrics.timed(name, status)(time.monotonic() - start)
    return told


def nothing_at(path: str) -> QueryError:
    """What is said of a path that is none."""
    return QueryError(f"There is nothing at {path[:100]}.", code="not_found")


def error_response(error: TandemError) -> Response:
    """The one shape of error: a code, a sentence and the field."""
    body = error_body(error)
    status = _STATUS.get(body.code, 422) if isinstance(error, QueryError) else 503
    response = _json_error(status, body)
    if body.code in AGAIN:
        response.headers["retry-after"] = str(AGAIN[body.code])
    if body.code == "timeout":
        response.headers["connection"] = "close"  # what comes of the body now is no request
    return response


@cache
def _document(document: Callable[[], object]) -> bytes:
    """Made once: 50 kB of JSON take a millisecond, which whoever asks for it again and again would take of others."""
    return json.dumps(document()).encode()


def _metrics(_: Request) -> Response:
    """No coroutine: files are read, so Starlette runs it beside the loop."""
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _json_error(status: int, body: schema.ErrorBody) -> Response:
    # Surrogates in what was sent may stand in the message: ASCII escapes keep the answer valid JSON.
    told = json.dumps(schema.ErrorResponse(error=body).model_dump(exclude_none=True))
    return Response(told, status, media_type="application/json")

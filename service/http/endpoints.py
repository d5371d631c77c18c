"""The endpoints of the verbs: parse a request, call the recommender, and map errors. JSON in, JSON out."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from recsys.errors import NoGeneration, TandemError
from service import schema
from service.http import bodies, paths
from service.http.errors import error_response, internal_error
from service.http.paths import MergeRoute, UserRoute
from service.recommend import deadlines
from service.schema import verbs
from service.schema.errors import checked
from service.schema.verbs import Q, Verb
from service.telemetry import metrics
from service.verbs import answers
from service.verbs.recommender import Recommender

logger = logging.getLogger("tandem")

_Endpoint = Callable[[Request], Awaitable[BaseModel]]

ITEM, USER = "/items/{item_id:any}", "/users/{user_id:any}"


class Endpoints:
    """The endpoints of a process; `recommender` is None until the process has one, and they answer 503."""

    def __init__(self) -> None:
        self.recommender: Recommender | None = None

    @property
    def full(self) -> bool:
        """Whether the recommender takes no more slates now."""
        return self.recommender is not None and self.recommender.full

    def routes(self) -> list[BaseRoute]:
        """The route of each verb."""
        return [
            Route("/recommend", _timed("recommend", self._recommend), methods=["POST"]),
            Route("/similar", _timed("similar", self._similar), methods=["POST"]),
            Route("/explain", _timed("explain", self._explain), methods=["POST"]),
            Route("/events", _timed("events", self._events), methods=["POST"]),
            Route("/items", _timed("items", self._items), methods=["PUT"]),
            Route(ITEM, _timed("item", self._item), methods=["GET"]),
            Route(ITEM, _timed("forget_item", self._forget_item), methods=["DELETE"]),
            MergeRoute(f"{USER}/merge", _timed("merge", self._merge), methods=["POST"]),
            UserRoute(USER, _timed("user", self._user), methods=["GET"]),
            UserRoute(USER, _timed("forget", self._forget), methods=["DELETE"]),
            Route("/status", _timed("status", self._status), methods=["GET"]),
        ]

    async def _recommend(self, request: Request) -> BaseModel:
        due = self._due(request)
        body = await _body(request, verbs.RECOMMEND)
        slates = [answers.slate(query) for query in await self._ready().recommend(body, due)]
        return slates[0] if body.user_ids is None else schema.SlatesResponse.model_construct(slates=slates)

    async def _similar(self, request: Request) -> BaseModel:
        due = self._due(request)
        return await self._ready().similar(await _body(request, verbs.SIMILAR), due)

    async def _explain(self, request: Request) -> BaseModel:
        due = self._due(request)
        return await self._ready().explain(await _body(request, verbs.EXPLAIN), due)

    async def _events(self, request: Request) -> BaseModel:
        return await self._ready().add_events(await bodies.events(request))

    async def _items(self, request: Request) -> BaseModel:
        body = await _body(request, verbs.ITEMS)
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
        body = await bodies.body(request, verbs.MERGE, schema.MergeBody)
        merge = checked(schema.MergeRequest, {"user_id": user_id, "into": body.into})
        return await self._ready().merge(merge.user_id, merge.into)

    async def _status(self, _: Request) -> BaseModel:
        return self._ready().status()

    def _due(self, request: Request) -> float:
        """When the response is due, counted from when the request came."""
        return self._ready().due(deadlines.asked_seconds(request.headers.getlist(deadlines.HEADER)))

    def _ready(self) -> Recommender:
        if self.recommender is None:
            raise NoGeneration("The service is starting.")
        return self.recommender


async def _body(request: Request, verb: Verb[Q]) -> Q:
    return await bodies.body(request, verb, verb.takes)


def _timed(verb: str, endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint as Starlette calls it: with JSON or an error as its response, and with its time in the metrics."""

    async def respond(request: Request) -> Response:
        start = time.monotonic()
        response = await _response(verb, endpoint(request))
        metrics.timed(verb, response.status_code)(time.monotonic() - start)
        return response

    return respond


async def _response(verb: str, work: Awaitable[BaseModel]) -> Response:
    try:
        return Response((await work).model_dump_json(), media_type="application/json")
    except TandemError as error:
        return error_response(error)
    except ClientDisconnect:
        return Response(status_code=400)  # the client has closed the connection
    except Exception:
        logger.exception("%s failed", verb)
        return internal_error()

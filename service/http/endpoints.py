"""The HTTP endpoints: each parses a JSON request, calls the recommender, and returns JSON or an error response."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from recsys.errors import NoGeneration
from service import schema
from service.experiments import request_arms
from service.http import bodies, paths
from service.http.error_responses import answer_or_error
from service.http.freshness_header import freshness_header
from service.recommend import deadlines
from service.schema.verb_table import VERBS, Verb
from service.telemetry import metrics
from service.verbs.recommender import Recommender


class Endpoints:
    """The endpoints of a process. They answer 503 until `recommender` is set."""

    def __init__(self) -> None:
        self.recommender: Recommender | None = None

    def routes(self) -> list[BaseRoute]:
        """A route for each path of the API."""
        by_path: dict[str, dict[str, Verb[Any]]] = {}
        for verb in VERBS:
            by_path.setdefault(paths.template(verb), {})[verb.method] = verb
        return [Route(path, self._endpoint(methods), methods=list(methods)) for path, methods in by_path.items()]

    def _endpoint(self, methods: Mapping[str, Verb[Any]]) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a path, as Starlette calls it. methods: the verb of each method; HEAD is as GET."""

        async def respond(request: Request) -> Response:
            start = time.monotonic()
            verb = methods["GET" if request.method == "HEAD" else request.method]
            response = await answer_or_error(verb.name, _encoded(self._answer(verb, request)))
            metrics.timed(verb.name, response.status_code)(time.monotonic() - start)
            return response

        return respond

    async def _answer(self, verb: Verb[Any], request: Request) -> BaseModel:
        if self.recommender is None:
            raise NoGeneration("The service is starting.")
        values = request.headers.getlist(deadlines.HEADER) if verb.timed else ()
        deadline = self.recommender.admit(verb, deadlines.requested_seconds(values))
        parsed = await bodies.request_of(verb, request)
        answer = await self.recommender.answer(verb, parsed, deadline, request.headers.getlist(request_arms.HEADER))
        if isinstance(parsed, schema.RecommendRequest) and parsed.user_ids is None:
            assert isinstance(answer, schema.SlatesResponse)
            return answer.slates[0]
        return answer


async def _encoded(work: Awaitable[BaseModel]) -> Response:
    answer = await work
    return Response(answer.model_dump_json(), headers=freshness_header(answer), media_type="application/json")

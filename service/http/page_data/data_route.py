"""Makes the route of a page's data: JSON, or the document of an error as every other endpoint has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from service.http.error_responses import answer_or_error

Answer = Callable[[Request], Awaitable[str | bytes]]
"""Returns JSON, or raises an error of Tandem's."""


def data_route(path: str, method: str, answer: Answer) -> BaseRoute:
    """The route of a path, which may have parameters, with the answer."""

    async def work(request: Request) -> Response:
        return Response(await answer(request), media_type="application/json")

    async def endpoint(request: Request) -> Response:
        return await answer_or_error(path, work(request))

    return Route(path, endpoint, methods=[method])

"""The routes of the data and the actions of the page /operations.

They are not part of the released API, so the OpenAPI document and the proto lack them. Where there are keys, they are
on the admin port alone and need the scope admin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from recsys.errors import NoGeneration
from service.http import bodies
from service.http.error_responses import answer_or_error
from service.http.page_data.same_origin import require_same_origin
from service.operations.actions import GoLive
from service.operations.overview import Overview
from service.operations.parts import Operations
from service.operations.prefect_api import Run
from service.schema.verb_table import IDS_BYTES

Handler = Callable[[Request], Awaitable[bytes]]

OVERVIEW, RUN = TypeAdapter(Overview), TypeAdapter(Run)


class OperationsPage:
    """The routes of a process. They answer 503 until `operations` is set."""

    def __init__(self, loopback: bool = False) -> None:
        """loopback: whether the server listens on loopback alone and needs no key."""
        self._loopback = loopback
        self.operations: Operations | None = None

    @property
    def _connected(self) -> Operations:
        if self.operations is None:
            raise NoGeneration("The service is starting.")
        return self.operations

    def routes(self) -> list[BaseRoute]:
        """The routes, without that of the page itself."""
        return [
            Route("/operations/overview", _endpoint(self._read), methods=["GET"]),
            Route("/operations/runs/{run_id}", _endpoint(self._run), methods=["GET"]),
            Route("/operations/promote", _endpoint(self._promote), methods=["POST"]),
            Route("/operations/rollback", _endpoint(self._roll_back), methods=["POST"]),
        ]

    async def _read(self, _: Request) -> bytes:
        return OVERVIEW.dump_json(await self._connected.overview.read())

    async def _run(self, request: Request) -> bytes:
        return RUN.dump_json(await self._connected.actions.run(request.path_params["run_id"]))

    async def _promote(self, request: Request) -> bytes:
        return RUN.dump_json(await self._connected.actions.promote(await self._confirmed(request)))

    async def _roll_back(self, request: Request) -> bytes:
        return RUN.dump_json(await self._connected.actions.roll_back(await self._confirmed(request)))

    async def _confirmed(self, request: Request) -> GoLive:
        require_same_origin(request.headers, self._loopback)
        return bodies.parsed(GoLive, await bodies.read(request, IDS_BYTES))


def _endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def work(request: Request) -> Response:
        return Response(await handler(request), media_type="application/json")

    async def respond(request: Request) -> Response:
        return await answer_or_error(request.url.path, work(request))

    return respond

"""The routes of the data and the actions of the page /operations.

They are not part of the released API, so the OpenAPI document and the proto lack them. Where there are keys, they are
on the admin port alone and need the scope admin.
"""

from __future__ import annotations

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.routing import BaseRoute

from recsys.errors import NoGeneration
from service.http import bodies
from service.http.page_data.data_route import data_route
from service.http.page_data.same_origin import require_same_origin
from service.operations.actions import PromotionRequest
from service.operations.overview import Overview
from service.operations.parts import Operations
from service.operations.prefect_api import Run
from service.schema.verb_table import IDS_BYTES

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
            data_route("/operations/overview", "GET", self._read),
            data_route("/operations/runs/{run_id}", "GET", self._run),
            data_route("/operations/promote", "POST", self._promote),
            data_route("/operations/rollback", "POST", self._roll_back),
        ]

    async def _read(self, _: Request) -> bytes:
        return OVERVIEW.dump_json(await self._connected.overview.read())

    async def _run(self, request: Request) -> bytes:
        return RUN.dump_json(await self._connected.actions.run(request.path_params["run_id"]))

    async def _promote(self, request: Request) -> bytes:
        return RUN.dump_json(await self._connected.actions.promote(await self._confirmed(request)))

    async def _roll_back(self, request: Request) -> bytes:
        return RUN.dump_json(await self._connected.actions.roll_back(await self._confirmed(request)))

    async def _confirmed(self, request: Request) -> PromotionRequest:
        require_same_origin(request.headers, self._loopback)
        return bodies.parsed(PromotionRequest, await bodies.read(request, IDS_BYTES))

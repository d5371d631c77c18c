"""What the page /operations starts: a promotion or a rollback, as a run of a Prefect deployment.

The page has the person type the id of the generation that goes live. The request repeats the id, so that a program
that calls the route by mistake changes nothing.
"""

from __future__ import annotations

import logging
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from recsys.errors import QueryError
from recsys.generation.manifest import NAME
from service.auth.key_check import caller
from service.operations.prefect_api import PrefectApi, Run

logger = logging.getLogger("tandem")

PROMOTE, ROLLBACK = "promote/by-hand", "rollback/by-hand"
"""The deployments of prefect.yaml."""


class PromotionRequest(BaseModel):
    """A request to make a generation live. generation: its id; for a rollback the one that was live before.

    confirm: the id once more, as the person typed or confirmed it.
    """

    model_config = ConfigDict(extra="forbid")

    generation: str = Field(min_length=1, max_length=64)
    confirm: str = Field(max_length=64)

    def check(self) -> None:
        """QueryError for a text that is no id, and for a confirmation of another id."""
        if not NAME.fullmatch(self.generation):
            raise QueryError("This is no id of a generation. GET /operations/overview lists them.", "generation")
        if self.confirm != self.generation:
            raise QueryError("This is not the id in `generation`. Send the same id to confirm.", "confirm")


class Actions:
    """Starts runs, and reads their states."""

    def __init__(self, prefect: PrefectApi) -> None:
        self._prefect = prefect

    async def promote(self, request: PromotionRequest) -> Run:
        """Start a run that makes the generation live."""
        request.check()
        return self._logged(PROMOTE, request, await self._prefect.start(PROMOTE, {"generation": request.generation}))

    async def roll_back(self, request: PromotionRequest) -> Run:
        """Start a run that makes the previous generation live; the run fails if that is another one by then."""
        request.check()
        return self._logged(ROLLBACK, request, await self._prefect.start(ROLLBACK, {"to": request.generation}))

    async def run(self, text: str) -> Run:
        """The state of a run by its id."""
        try:
            name = str(UUID(text))
        except ValueError:
            raise QueryError("Send the id that started the run, a UUID.", "run_id") from None
        return await self._prefect.run(name)

    def _logged(self, deployment: str, request: PromotionRequest, run: Run) -> Run:
        entry = caller.get(None)
        by = f"key {entry.name}" if entry else "the page"
        logger.info("%s of %s was started by %s: run %s", deployment, request.generation, by, run.id)
        return run

"""The gateway: the deployment's entry service, a thin shell that joins the door, the recommender and the callees."""

from __future__ import annotations

import asyncio
import sys

import bentoml
from starlette.exceptions import HTTPException

from recsys.errors import TandemError
from service import compose, doors, pinned, readiness, workers
from service.ahead import Ahead
from service.auth import setup
from service.auth.tls import Tls
from service.callees import Callees
from service.http.app import Door
from service.models import RankingModel, RetrievalModel
from service.ports import require_free
from service.ranking import Ranking
from service.recommender import Recommender
from service.retrieval import Retrieval
from service.settings import environment, settings

TLS = Tls.from_settings(settings())
DOOR = Door()
SPLIT = settings().topology == "split"
PINNED = pinned.model()
doors.limit_connections(settings())


@bentoml.service(
    name="Gateway",
    workers=settings().gateway_workers,
    http={"host": settings().host, "port": settings().port},  # BentoML's default is every address
    logging={"access": {"enabled": False}},
    # Answers go on without retrieval or ranking: /readyz asks for a generation to serve, not for their pulse.
    runner_probe={"enabled": False},
    # BentoML's own make a series of every path asked for, user ids and all, and keep it; with them goes its /metrics.
    metrics={"enabled": False},
    **({"ssl": TLS.bentoml_options()} if TLS else {}),
)
@bentoml.asgi_app(DOOR.app, path="/")
class Gateway:
    """Answers requests within their deadline."""

    if PINNED:
        pinned = PINNED  # named here, BentoML packs it
    if SPLIT and not settings().retrieval_url:
        retrieval = bentoml.depends(Retrieval)
    if SPLIT and not settings().ranking_url:
        ranking = bentoml.depends(Ranking)

    @bentoml.on_deployment
    @staticmethod
    def prepare_workers() -> None:
        """Once, in the parent of all workers."""
        try:
            setup.check(settings())
            if settings().grpc_port:  # which the workers share, and would share with a stranger too
                require_free(settings().host, settings().grpc_port, "GRPC_PORT")
            setup.prepare(settings(), environment())
            workers.prepare(environment(), settings())
        except TandemError as error:
            sys.exit(f"tandem: {error}")

    def __init__(self) -> None:
        workers.become_one()
        workers.require_guarded(settings())
        self._recommender = self._split() if SPLIT else self._inline()
        self._doors = doors.Doors(DOOR, self._recommender, settings())

    @bentoml.on_startup
    async def follow_live(self) -> None:
        """Adopt the live generation and every one promoted later; the doors open when the first is warm."""
        self._following = asyncio.create_task(self._recommender.follow())
        await self._recommender.settled()
        await self._doors.open()

    @bentoml.on_shutdown
    async def stop_following(self) -> None:
        """The HTTP door is closed: close the others, write what is to be, and let go of the store and of traces."""
        await self._doors.close()
        await self._recommender.finish()
        self._following.cancel()
        await self._recommender.close()
        await asyncio.to_thread(compose.tell_all, compose.GATEWAY)

    async def __is_ready__(self) -> bool:
        if reason := readiness.STOPPING if self._doors.closing else self._recommender.unready:
            raise HTTPException(503, reason)  # which becomes the answer of /readyz
        return True

    def _split(self) -> Recommender:
        """Retrieval and ranking are services of their own, here or elsewhere."""
        retrieval = settings().retrieval_url or self.retrieval
        ranking = settings().ranking_url or self.ranking
        return compose.recommender(environment(), settings(), compose.callees(retrieval, ranking))

    def _inline(self) -> Recommender:
        """Retrieval and ranking are in this process."""
        retrieval, ranking = compose.retrieval(environment()), compose.ranking(environment())
        puts = compose.puts(environment())
        callees = Callees.local(RetrievalModel(retrieval, puts), RankingModel(ranking, puts))
        return compose.recommender(environment(), settings(), callees, [retrieval, ranking])


Gateway.add_asgi_middleware(Ahead, make=doors.front(DOOR))  # type: ignore[attr-defined]  # the decorator makes it a `Service`

"""The gateway, the entry service of the deployment: BentoML's decorator around the doors and the recommender."""

from __future__ import annotations

import asyncio
import sys

import bentoml
from starlette.exceptions import HTTPException

from recsys.errors import TandemError
from service import compose, doors, pinned, readiness, workers
from service.auth import setup
from service.auth.tls import Tls
from service.callees import Callees
from service.http.door import HttpDoor
from service.models import RankingModel, RetrievalModel
from service.ports import require_free
from service.ranking import Ranking
from service.recommender import Recommender
from service.retrieval import Retrieval
from service.settings import environment, settings

TLS = Tls.from_settings(settings())
DOORS = doors.Doors()
SPLIT = settings().topology == "split"
PINNED = pinned.model()


@bentoml.service(
    name="Gateway",
    workers=settings().gateway_workers,
    http={"host": settings().host, "port": settings().port},  # BentoML's default is every address
    # Without retrieval or ranking the gateway still answers: /readyz needs a generation, not both backends.
    runner_probe={"enabled": False},
    # `service.telemetry` replaces BentoML's log, metrics and spans of a request, which name paths with user ids.
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": ".*"},
    **({"ssl": TLS.bentoml_options()} if TLS else {}),
)
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
        DOORS.connect(self._recommender, settings())

    @bentoml.on_startup
    async def follow_live(self) -> None:
        """Adopt the live generation and every one promoted later; the doors open when the first is warm."""
        self._following = asyncio.create_task(self._recommender.follow())
        await self._recommender.settled()
        await DOORS.open()

    @bentoml.on_shutdown
    async def stop_following(self) -> None:
        """The HTTP door is closed: close the others, write what is to be, and let go of the store and of traces."""
        await DOORS.close()
        await self._recommender.finish()
        self._following.cancel()
        await self._recommender.close()
        await asyncio.to_thread(compose.close_traces, compose.GATEWAY)

    async def __is_ready__(self) -> bool:
        if reason := readiness.STOPPING if DOORS.closing else self._recommender.unready:
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


Gateway.add_asgi_middleware(  # type: ignore[attr-defined]  # the decorator makes it a `Service`
    HttpDoor, build=DOORS.http_app, draining=lambda: DOORS.closing
)

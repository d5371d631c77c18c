"""The gateway, the BentoML service that clients call: it runs the HTTP and gRPC servers and answers requests.

It calls retrieval and ranking in processes of their own (TANDEM_TOPOLOGY=split) or in its own process (inline).
"""

from __future__ import annotations

import asyncio

import bentoml
from starlette.exceptions import HTTPException

from recsys.process.command_exit import exit_with_sentence
from service import doors, wiring, workers
from service.auth import start_checks
from service.auth.tls import Tls
from service.backends.calls import Backends
from service.generations import pinned, readiness
from service.http.door import REQUEST_SECONDS
from service.ranking import Ranking
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
    runner_probe={"enabled": False},  # /readyz needs a generation, not both backends: the gateway answers without them
    **workers.OPTIONS,
    traffic={"timeout": REQUEST_SECONDS + settings().deadline_ms / 1000},
    **({"ssl": TLS.bentoml_options()} if TLS else {}),
)
class Gateway:
    """Answers requests within their deadline."""

    if PINNED:
        pinned = PINNED  # an attribute, so that BentoML packs the model
    if SPLIT and not settings().retrieval_url:
        retrieval = bentoml.depends(Retrieval)
    if SPLIT and not settings().ranking_url:
        ranking = bentoml.depends(Ranking)

    @bentoml.on_deployment
    @staticmethod
    def prepare_workers() -> None:
        """Once, in the parent of all workers."""
        with exit_with_sentence():  # BentoML would print a traceback
            start_checks.prepare(settings(), environment())
            workers.prepare(environment(), settings())

    def __init__(self) -> None:
        workers.become_worker()
        workers.require_guarded(settings())
        self._clients = wiring.clients(self, settings()) if SPLIT else ()
        self._recommender = (
            wiring.recommender(environment(), settings(), Backends.remote(*self._clients))
            if self._clients
            else wiring.inline_recommender(environment(), settings())
        )
        DOORS.connect(self._recommender, settings())

    @bentoml.on_startup
    async def follow_live(self) -> None:
        """Follow the live generation, and start the servers when it is in force, or when none can be for now."""
        self._following = asyncio.create_task(self._recommender.follow())
        await DOORS.open(self._recommender.settled())
        if DOORS.closing:
            return
        wiring.count_workers(wiring.GATEWAY, environment(), settings())
        if bentoml.server_context.worker_index == 1:
            DOORS.log_start(self._recommender.unready)

    @bentoml.on_shutdown
    async def stop_following(self) -> None:
        """The HTTP server is closed: close the other servers, write the last events, close the store, export traces."""
        await DOORS.close()
        await self._recommender.finish()
        self._following.cancel()
        await self._recommender.close()
        await asyncio.gather(*(client.close() for client in self._clients))
        await asyncio.to_thread(wiring.close_traces, wiring.GATEWAY)

    async def __is_ready__(self) -> bool:
        if reason := readiness.STOPPING if DOORS.closing else self._recommender.unready:
            raise HTTPException(503, reason)  # which becomes the answer of /readyz
        return True


Gateway.add_asgi_middleware(DOORS.http_door)  # type: ignore[attr-defined]  # the decorator makes it a `Service`

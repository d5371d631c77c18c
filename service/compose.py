"""The composition root: the one place where settings become stores, caches, models and the recommender."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from starlette.types import ASGIApp

from recsys import soundness
from recsys.cache import GenerationCache
from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.items import PutItems
from recsys.lifeline import tie_to_parent, watch_parent
from recsys.store.board import RedisBoard
from recsys.store.connect import open_store
from recsys.store.items import RedisItemReader, RedisItemWriter
from recsys.store.redis import RedisGenerationStore, RedisUserStore
from service import arbiter, batching, exporters, tracing, wire
from service.adoption import Adopter
from service.ahead import Make
from service.callees import Callees
from service.edge import setup
from service.edge.admin import AdminPort
from service.edge.calls import GatedCalls
from service.edge.connection import GuardedConnection, guard, guard_tls
from service.edge.described import openapi_with_keys
from service.edge.doors import Edge
from service.edge.gate import Gate
from service.edge.guard import Guard
from service.edge.probes import PROBES
from service.edge.tenants import TenantRecommender
from service.edge.tls import Tls, TlsServer
from service.explanation import Explainer
from service.front import Front
from service.holder import GenerationHolder
from service.http import Door
from service.impressions import ImpressionLog
from service.items import ItemDesk, ItemFollower
from service.lane import MOST_BYTES, Lane, apis
from service.pipeline import Pipeline
from service.recommender import Desks, Recommender
from service.rpc.door import RpcDoor
from service.rulebook import Rulebook
from service.served import ServedGeneration
from service.settings import STARTER, Settings
from service.settings import environment as in_the_environment
from service.settings import settings as in_force
from service.similar import SimilarItems
from service.spare import PINNED, Spare
from service.succession import Succession
from service.traced_doors import TracedDoor, TracedLane, traced_rpc
from service.trending import TrendingItems
from service.users import UserDesk

if TYPE_CHECKING:  # torch takes a process 1.8 s of CPU to import, and only those that run a model need it
    from recsys.ranker import Ranker
    from recsys.retriever import Retriever

logger = logging.getLogger("tandem")

GATEWAY, RETRIEVAL, RANKING = "gateway", "retrieval", "ranking"

ARBITER = "TANDEM_ARBITER"
"""Names the process that starts the workers, so that one whose starter died while it loaded knows."""

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""What numpy is told in every worker: the other cores are the others'. `torch.set_num_threads` does not reach it."""

LEAN_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(4 << 20)}
"""What glibc is told in every worker. Left to itself it gives each thread an arena of its own and keeps what was freed
there: with two generations of a million items a retrieval worker held 283 MiB, and holds 238 so. Threads rarely ask at
once, and arrays below 4 MiB, all that a request needs, still come from the heap."""


def transport(settings: Settings) -> TlsServer | None:
    """In every process, before its server: limits of its connections; TLS of the gateway's, where it is asked for."""
    guard(settings.max_connections)
    tls = Tls.of(settings)
    if tls is None:
        return None
    server = TlsServer(tls)
    server.take_place()
    return server


def keep_certificates(server: TlsServer | None) -> asyncio.Future[None]:
    """In the gateway, before its server: what reads certificates anew until it is cancelled."""
    if server is None:
        return asyncio.get_running_loop().create_future()
    guard_tls(certified=server.tls.client_ca is not None)
    server.hurry()
    return asyncio.create_task(server.watch())


LANE_HEAD = 64 << 10
"""Bytes of a call's head: it names the spans of all 512 requests that it may be made for, 56 bytes each."""


def prepare_workers(environment: Environment, settings: Settings, pinned: Path | None = None) -> None:
    """Called in the parent of all workers, by each service: tell them who it is, where the store is, what is pinned.

    Without REDIS_URL it starts the embedded store, which ends with that process.
    """
    if os.environ.get(ARBITER) == str(os.getpid()):
        return
    exporters.check(settings.traces)
    if tls := Tls.of(settings):
        tls.context()
    os.environ[ARBITER] = str(os.getpid())
    for name, value in (LEAN_MALLOC | ONE_THREAD).items():
        os.environ.setdefault(name, value)
    if starter := os.environ.get(STARTER):
        watch_parent(int(starter), lambda: os.kill(os.getpid(), signal.SIGKILL))  # the workers are tied to this one
    if pinned is not None:
        os.environ[PINNED] = str(pinned)
    if environment.redis_url is None:
        os.environ["REDIS_URL"] = open_store(environment).url
    arbiter.attend(settings.standbys, settings.drain_seconds)


def become_worker() -> None:
    """What every worker does first: end with its parent."""
    logger.setLevel(logging.INFO)  # what BentoML shows of others begins with warnings
    tie_to_parent()
    batching.dispatch_at_once()
    if os.environ.get(ARBITER) not in (None, str(os.getppid())):
        sys.exit("The process that started this worker is gone.")


def retrieval(environment: Environment) -> GenerationHolder[Retriever]:
    """Retrievers of generations fetched from the store."""
    from recsys.trial import load_retriever

    _run_models()
    return GenerationHolder(_cache(environment), load_retriever)


def ranking(environment: Environment) -> GenerationHolder[Ranker]:
    """Rankers of generations fetched from the store."""
    from recsys.trial import load_ranker

    _run_models()
    return GenerationHolder(_cache(environment), load_ranker)


def puts(environment: Environment) -> Callable[[], PutItems]:
    """What was put, as it stands whenever this is called."""
    follower = _items(_url(environment))
    return lambda: follower.current


def adopter(
    role: str, environment: Environment, settings: Settings, holders: Sequence[GenerationHolder[Any]]
) -> Adopter:
    """What keeps the holders of this process up to date."""
    url = _url(environment)
    spare = _spare(environment).ids
    return Adopter(role, RedisGenerationStore(url), RedisBoard(url), holders, spare, settings.poll_seconds)


def recommender(
    environment: Environment,
    settings: Settings,
    callees: Callees,
    models: Sequence[GenerationHolder[Any]] = (),
) -> Recommender:
    """The gateway's recommender over calls, wherever they lead; models: what this process holds besides its own."""
    users = RedisUserStore(_url(environment))
    traces, kind = tracer(GATEWAY), Recommender
    if traces is None:
        pipeline = Pipeline(users, callees, settings)
    else:
        callees, kind = traces.callees(callees), tracing.TracedRecommender
        pipeline = Pipeline(users, callees, settings, traces.stage)
    served = GenerationHolder(_cache(environment), ServedGeneration.load)
    following = adopter("gateway", environment, settings, [served, *models])
    succession = Succession(following, served, pipeline, _spare(environment), settings)
    desks = Desks(
        pipeline=pipeline,
        succession=succession,
        users=UserDesk(users),
        items=ItemDesk(RedisItemWriter(_url(environment)), _items(_url(environment))),
        similar=SimilarItems(callees.similar),
        explainer=Explainer(pipeline, callees),
        trending=TrendingItems(users),
        impressions=ImpressionLog(users, callees.features, settings.impressions_per_second),
        rules=Rulebook(environment.rules, environment.folder("cache") / "rules.last.toml"),
    )
    return kind(desks, users, settings)


def callees(retrieval: Any, ranking: Any) -> Callees:
    """Calls to two BentoML services, or to URLs."""
    return Callees.remote(retrieval, ranking, None if tracer(GATEWAY) is None else tracing.headers)


@cache
def tracer(role: str) -> tracing.Tracer | None:
    """What makes the spans of this process; None where nobody wants any."""
    provider = exporters.provider(f"tandem-{role}", in_force().traces)
    return None if provider is None else tracing.Tracer(provider, hops=in_force().topology == "split")


@cache
def gate() -> Gate | None:
    """What lets callers into this process; None where nobody needs a key."""
    return setup.gate(in_force(), in_the_environment())


def front(door: Door) -> Make:
    """What the gateway's HTTP server asks first."""

    def make(_: Starlette, behind: ASGIApp) -> ASGIApp:
        keys, first = gate(), Front(door, behind)
        return _traced(first if keys is None else Guard(first, keys, PROBES, admin=False), door)

    return make


def guarded(recommender: Recommender) -> Recommender:
    """The recommender as the doors have it, where keys may be bound to users."""
    keys = gate()
    return recommender if keys is None else cast(Recommender, TenantRecommender(recommender, keys.limits))


def edge(door: Door, settings: Settings) -> Edge:
    """What stands beside the doors."""
    keys = gate()
    if keys is None or not settings.admin_port:
        return Edge(keys, None)
    door.document = openapi_with_keys
    app = _traced(Guard(door.app, keys, ("/",), admin=True), door)
    return Edge(keys, AdminPort(app, settings.admin_host, settings.admin_port))


def _traced(app: ASGIApp, door: Door) -> ASGIApp:
    traces = tracer(GATEWAY)
    return app if traces is None else TracedDoor(app, traces, door.app.routes)


def rpc_door(recommender: Recommender, settings: Settings) -> RpcDoor | None:
    """The gRPC door, where there is to be one."""
    if not settings.grpc_port:
        return None
    traces, keys = tracer(GATEWAY), gate()
    before = [] if keys is None else [GatedCalls(keys, setup.admin_place(settings))]
    wrap = {} if traces is None else {"wrap": partial(traced_rpc, traces)}
    return RpcDoor(recommender, settings.host, settings.grpc_port, before=before, tls=Tls.of(settings), **wrap)


def lane(role: str) -> Make:
    """What the server of retrieval or ranking asks first."""

    def make(app: Starlette, behind: ASGIApp) -> ASGIApp:
        GuardedConnection.admit(MOST_BYTES, LANE_HEAD)
        traces, first = tracer(role), Lane(apis(app), behind, wire.WIDTHS)
        return first if traces is None else TracedLane(first, traces, role)

    return make


def close_tracer(role: str) -> None:
    """Let go of what is traced; a worker ends by a signal, and nothing is exported after that."""
    made = tracer(role)
    if made is not None:
        made.close()


def _run_models() -> None:
    """Before a worker loads models: leave the other cores to the others."""
    import torch

    torch.set_num_threads(in_force().torch_threads)


@cache
def _items(url: str) -> ItemFollower:
    """What was put, followed by one thread of this process."""
    follower = ItemFollower(RedisItemReader(url))
    follower.start()
    return follower


def _cache(environment: Environment) -> GenerationCache:
    return GenerationCache(environment.folder("cache"), RedisGenerationStore(_url(environment)), soundness.check)


def _spare(environment: Environment) -> Spare:
    pinned = os.environ.get(PINNED)
    return Spare(_cache(environment), Path(pinned) if pinned else None)


def _url(environment: Environment) -> str:
    if environment.redis_url is None:
        raise SettingsError("REDIS_URL is not set in this worker; start the service with make serve or bentoml serve.")
    return environment.redis_url

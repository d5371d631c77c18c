"""The wiring of a server process: the one place that makes stores, caches, models and recommender from settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider
from starlette.types import ASGIApp

from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.fresh_items.put_items import PutItems
from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.model.event_counts import EventCounts
from recsys.slates.served_generation import ServedGeneration
from recsys.store.redis.event_counters import RedisCountReader
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.item_store import RedisItemReader, RedisItemWriter
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import IMPRESSION_LIMITS, LOG_LIMITS
from service.auth import start_checks
from service.auth.key_check import KeyCheck
from service.auth.tenants import TenantCheck
from service.backends import wire
from service.backends.accepted_requests import RowsOnly
from service.backends.calls import Backends
from service.backends.client import BackendClient
from service.backends.count_follower import CountFollower
from service.backends.models import RankingModel, RetrievalModel
from service.experiments.arm_health import ArmHealth
from service.experiments.request_arms import RequestArms
from service.generations.experiments_follower import ExperimentsFollower
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder
from service.generations.local_generations import GenerationFallback
from service.generations.switcher import GenerationSwitcher
from service.operations.actions import Actions
from service.operations.last_hour import Readings
from service.operations.overview import OverviewReader
from service.operations.parts import Operations
from service.operations.prefect_api import PrefectApi
from service.operations.promises import Promises
from service.operations.shared_reader import SharedReader
from service.operations.state_reader import StateReader
from service.recommend.pipeline import Pipeline
from service.recommend.stages import RankingScorer, RetrievalSource
from service.settings import Settings
from service.settings import environment as environment_in_force
from service.settings import settings as in_force
from service.telemetry import exporters, tracing
from service.telemetry.outage import Outage
from service.telemetry.worker_count import WorkerCount
from service.verbs.dependencies import Dependencies
from service.verbs.explain import SlateExplainer
from service.verbs.impressions import ImpressionLog
from service.verbs.items import ItemFollower, ItemVerbs
from service.verbs.recommender import Recommender
from service.verbs.similar import SimilarItems
from service.verbs.surfaces import SurfacesFollower
from service.verbs.trending import TrendingFollower
from service.verbs.users import UserVerbs

if TYPE_CHECKING:  # torch takes 1.8 s of CPU to import, and only hosts that run a model need it
    from recsys.model.ranker import Ranker
    from recsys.retrieval.retriever import Retriever

GATEWAY, RETRIEVAL, RANKING = "gateway", "retrieval", "ranking"


def retrieval(environment: Environment) -> GenerationHolder[Retriever]:
    """Retrievers of generations fetched from the store."""
    from recsys.generation.loader import load_retriever

    _run_models()
    return GenerationHolder(_cache(environment), load_retriever)


def ranking(environment: Environment) -> GenerationHolder[Ranker]:
    """Rankers of generations fetched from the store."""
    from recsys.generation.loader import load_ranker

    _run_models()
    return GenerationHolder(_cache(environment), load_ranker)


def ranking_model(environment: Environment, holder: GenerationHolder[Ranker]) -> RankingModel:
    """The ranking model over rankers, with the items put and the counts of events that this process reads."""
    items = _items(_url(environment))

    def prepare(puts: PutItems, counts: EventCounts) -> None:
        for ranker in holder.each():
            ranker.with_items(puts).with_counts(counts)

    follower = CountFollower(RedisCountReader(_url(environment)), lambda counts: prepare(items.current, counts))
    follower.start()
    items.before_use(lambda puts: prepare(puts, follower.current))
    holder.prepare = lambda ranker: ranker.with_items(items.current).with_counts(follower.current)
    return RankingModel(holder, lambda: items.current, follower.at)


def puts(environment: Environment, holder: GenerationHolder[Any]) -> Callable[[], PutItems]:
    """A function that returns the items added or changed so far through PUT /items.

    The generations of the holder are joined with them in the thread that reads them, and not in a request.
    """
    items = _items(_url(environment))

    def prepare(puts: PutItems) -> None:
        for generation in holder.each():
            generation.with_items(puts)

    items.before_use(prepare)
    holder.prepare = lambda generation: generation.with_items(items.current)
    return lambda: items.current


def follower(
    role: str, environment: Environment, settings: Settings, holders: Sequence[GenerationHolder[Any]]
) -> GenerationFollower:
    """The follower that loads generations into the holders of this process."""
    url, fallback = _url(environment), GenerationFallback(_cache(environment)).ids
    store, registry = RedisGenerationStore(url), RedisProcessRegistry(url)
    experiments = ExperimentsFollower(RedisExperimentStore(url))
    return GenerationFollower(role, store, registry, holders, fallback, settings.poll_seconds, _redis(), experiments)


def count_workers(role: str, environment: Environment, settings: Settings) -> None:
    """Count the workers of this host for /metrics, until this process ends."""
    wanted = {role: getattr(settings, f"{role}_workers")}
    if role == GATEWAY and settings.topology == "split":
        away = {RETRIEVAL: settings.retrieval_url, RANKING: settings.ranking_url}
        wanted |= {name: getattr(settings, f"{name}_workers") for name, url in away.items() if not url}
    WorkerCount(RedisProcessRegistry(_url(environment)), wanted).start()


def recommender(
    environment: Environment,
    settings: Settings,
    backends: Backends,
    models: Sequence[GenerationHolder[Any]] = (),
) -> Recommender:
    """The gateway's recommender over calls of backends; models: the holders of models in this process."""
    users = _users(environment, settings)
    traces, kind = traces_of(GATEWAY), Recommender
    if traces is None:
        pipeline = Pipeline(users, backends, settings, redis=_redis())
    else:
        kind = tracing.TracedRecommender
        traced = partial(tracing.TracedStage, tracer=traces.get_tracer("tandem"), remote=settings.topology == "split")
        pipeline = Pipeline(users, backends, settings, traced, _redis())
    served = GenerationHolder(_cache(environment), ServedGeneration.load)
    following = follower(GATEWAY, environment, settings, [served, *models])
    fallback = GenerationFallback(_cache(environment))
    impressions = ImpressionLog(users, backends.features, settings.impressions_per_second)
    switcher = GenerationSwitcher(following, served, pipeline, fallback, settings)
    puts(environment, served)
    items = ItemVerbs(RedisItemWriter(_url(environment)), _items(_url(environment)))
    dependencies = Dependencies(
        pipeline=pipeline,
        switcher=switcher,
        users=UserVerbs(users, impressions),
        items=items,
        similar=SimilarItems(pipeline, backends, users),
        explainer=SlateExplainer(pipeline, backends),
        trending=TrendingFollower(users),
        impressions=impressions,
        arms=RequestArms(switcher, items, ArmHealth(switcher, pipeline)),
        surfaces=SurfacesFollower(environment, settings),
        runs=RedisRunStore(_url(environment)),
    )
    keys = key_check()
    checks = (TenantCheck(keys.limits), keys.require_admin) if keys else ()
    return kind(dependencies, users, settings, *checks)


def inline_recommender(environment: Environment, settings: Settings) -> Recommender:
    """The gateway's recommender with the models in its own process."""
    retrieving, ranked = retrieval(environment), ranking(environment)
    local = Backends.local(
        RetrievalModel(retrieving, puts(environment, retrieving)), ranking_model(environment, ranked)
    )
    return recommender(environment, settings, local, [retrieving, ranked])


def operations(environment: Environment, settings: Settings, recommender: Recommender) -> Operations:
    """The parts behind the page /operations."""
    promises, prefect, readings = Promises.read(), PrefectApi(settings), Readings(settings.gateway_workers)
    reader = SharedReader(StateReader(_url(environment), promises))
    overview = OverviewReader(recommender, readings, reader, promises, prefect.unavailable)
    return Operations(overview, Actions(prefect), readings, reader)


def clients(gateway: Any, settings: Settings) -> tuple[BackendClient, BackendClient]:
    """The clients of retrieval and ranking. Each may take its stage's share of the deadline to connect."""
    inject, seconds = None if traces_of(GATEWAY) is None else propagate.inject, settings.deadline_ms / 1000
    return (
        BackendClient(_backend_url(gateway, RETRIEVAL, settings), seconds * RetrievalSource.share, inject),
        BackendClient(_backend_url(gateway, RANKING, settings), seconds * RankingScorer.share, inject),
    )


def _backend_url(gateway: Any, role: str, settings: Settings) -> str:
    """The URL of the setting, else that of the gateway's `bentoml.depends()`."""
    if url := getattr(settings, f"{role}_url"):
        return str(url)
    getattr(gateway, role)  # BentoML sets the URL when the dependency is first read
    if url := getattr(type(gateway), role).url:
        return str(url)
    raise SettingsError("bentoml serve --development runs one process; set TANDEM_TOPOLOGY=inline.")


@cache
def key_check() -> KeyCheck | None:
    """The key check of this process; None if requests need no key."""
    return start_checks.key_check(in_force(), environment_in_force())


@cache
def traces_of(role: str) -> TracerProvider | None:
    """The tracer provider of this process; None if traces are off."""
    return exporters.provider(f"tandem-{role}", in_force().traces)


def backend(app: ASGIApp, role: str) -> ASGIApp:
    """The middleware of retrieval and ranking."""
    traces = traces_of(role)
    return RowsOnly(app if traces is None else tracing.ServerSpans(app, traces), wire.WIDTHS)


def close_traces(role: str) -> None:
    """Export the last traces of this process."""
    if traces := traces_of(role):
        exporters.close(traces)


def _run_models() -> None:
    """Limit the threads of torch, before a worker loads models: the other cores are for other workers."""
    import torch

    torch.set_num_threads(in_force().torch_threads)


@cache
def _items(url: str) -> ItemFollower:
    """What was put, followed by one thread of this process."""
    follower = ItemFollower(RedisItemReader(url), redis=_redis())
    follower.start()
    return follower


@cache
def _redis() -> Outage:
    """The outage log that all readers of Redis in this process share, so that an outage is logged once."""
    return Outage("Redis", "Serving goes on without users' histories, new items and new generations.")


def _users(environment: Environment, settings: Settings) -> RedisUserStore:
    return RedisUserStore(
        _url(environment),
        log=replace(LOG_LIMITS, bytes=settings.event_log_mib << 20),
        impressions=replace(IMPRESSION_LIMITS, bytes=settings.impressions_mib << 20),
    )


def _cache(environment: Environment) -> GenerationCache:
    return GenerationCache(environment.folder("cache"), RedisGenerationStore(_url(environment)), content_checks.check)


def _url(environment: Environment) -> str:
    if environment.redis_url is None:
        raise SettingsError("REDIS_URL is not set in this worker; start the service with make serve or bentoml serve.")
    return environment.redis_url

"""The composition root: the one place where settings become stores, caches, models and the recommender."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from recsys import soundness
from recsys.cache import GenerationCache
from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.items import PutItems
from recsys.store.board import RedisBoard
from recsys.store.items import RedisItemReader, RedisItemWriter
from recsys.store.redis import RedisGenerationStore, RedisUserStore
from service import wire
from service.adoption import Adopter
from service.callees import Callees
from service.drain import Drain, LastAnswers
from service.explanation import Explainer
from service.holder import GenerationHolder
from service.impressions import ImpressionLog
from service.items import ItemDesk, ItemFollower
from service.lane import Lane
from service.models import RankingModel, RetrievalModel
from service.outage import Outage
from service.pipeline import Pipeline
from service.query import Degraded
from service.recommender import Desks, Recommender
from service.rulebook import Rulebook
from service.served import ServedGeneration
from service.settings import Settings
from service.settings import settings as in_force
from service.similar import SimilarItems
from service.spare import PINNED, Spare
from service.succession import Succession
from service.telemetry import exporters, tracing
from service.telemetry.server_spans import LaneSpans
from service.trending import TrendingItems
from service.users import UserDesk

if TYPE_CHECKING:  # torch takes 1.8 s of CPU to import, and only hosts that run a model need it
    from recsys.ranker import Ranker
    from recsys.retriever import Retriever

GATEWAY, RETRIEVAL, RANKING = "gateway", "retrieval", "ranking"


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
    return Adopter(role, RedisGenerationStore(url), RedisBoard(url), holders, spare, settings.poll_seconds, _redis())


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
        pipeline = Pipeline(users, callees, settings, redis=_redis())
    else:
        callees, kind = traces.callees(callees), tracing.TracedRecommender
        pipeline = Pipeline(users, callees, settings, traces.stage, _redis())
    served = GenerationHolder(_cache(environment), ServedGeneration.load)
    following = adopter("gateway", environment, settings, [served, *models])
    succession = Succession(following, served, pipeline, _spare(environment), settings)
    desks = Desks(
        pipeline=pipeline,
        succession=succession,
        users=UserDesk(users),
        items=ItemDesk(RedisItemWriter(_url(environment)), _items(_url(environment))),
        similar=SimilarItems(callees.similar, pipeline.outages[Degraded.RETRIEVAL]),
        explainer=Explainer(pipeline, callees),
        trending=TrendingItems(users),
        impressions=ImpressionLog(users, callees.features, settings.impressions_per_second),
        rules=Rulebook(environment.rules, environment.folder("cache") / "rules.last.toml"),
    )
    return kind(desks, users, settings)


def inline_recommender(environment: Environment, settings: Settings) -> Recommender:
    """The gateway's recommender with the models in its own process."""
    retrieving, ranked, newest = retrieval(environment), ranking(environment), puts(environment)
    local = Callees.local(RetrievalModel(retrieving, newest), RankingModel(ranked, newest))
    return recommender(environment, settings, local, [retrieving, ranked])


def callees(retrieval: Any, ranking: Any) -> Callees:
    """Calls to two BentoML services, or to URLs."""
    return Callees.remote(retrieval, ranking, None if tracer(GATEWAY) is None else tracing.headers)


@cache
def tracer(role: str) -> tracing.Tracer | None:
    """The tracer of this process; None if traces are off."""
    provider = exporters.provider(f"tandem-{role}", in_force().traces)
    return None if provider is None else tracing.Tracer(provider, hops=in_force().topology == "split")


def lane(app: ASGIApp, role: str, drain: Drain) -> ASGIApp:
    """The middleware of retrieval and ranking."""
    traces, calls = tracer(role), Lane(app, wire.WIDTHS)
    return LastAnswers(calls if traces is None else LaneSpans(calls, traces, role), lambda: drain.begun)


def close_traces(role: str) -> None:
    """Export the last spans of this process."""
    if made := tracer(role):
        made.close()


def _run_models() -> None:
    """Before a worker loads models: leave the other cores to the others."""
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


def _cache(environment: Environment) -> GenerationCache:
    return GenerationCache(environment.folder("cache"), RedisGenerationStore(_url(environment)), soundness.check)


def _spare(environment: Environment) -> Spare:
    pinned = os.environ.get(PINNED)
    return Spare(_cache(environment), Path(pinned) if pinned else None)


def _url(environment: Environment) -> str:
    if environment.redis_url is None:
        raise SettingsError("REDIS_URL is not set in this worker; start the service with make serve or bentoml serve.")
    return environment.redis_url

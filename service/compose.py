"""The composition root: the one place where settings become stores, caches, models and the recommender."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from recsys import soundness
from recsys.cache import GenerationCache
from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.items import PutItems
from recsys.lifeline import tie_to_parent, watch_parent
from recsys.ranker import Ranker
from recsys.retriever import Retriever
from recsys.store.board import RedisBoard
from recsys.store.connect import open_store
from recsys.store.items import RedisItemReader, RedisItemWriter
from recsys.store.redis import RedisGenerationStore, RedisUserStore
from recsys.trial import load_ranker, load_retriever
from service import arbiter, batching
from service.adoption import Adopter
from service.callees import Callees
from service.explanation import Explainer
from service.holder import GenerationHolder
from service.impressions import ImpressionLog
from service.items import ItemDesk, ItemFollower
from service.pipeline import Pipeline
from service.recommender import Desks, Recommender
from service.rulebook import Rulebook
from service.served import ServedGeneration
from service.settings import STARTER, Settings
from service.similar import SimilarItems
from service.spare import PINNED, Spare
from service.succession import Succession
from service.trending import TrendingItems
from service.users import UserDesk

logger = logging.getLogger("tandem")

ARBITER = "TANDEM_ARBITER"
"""Names the process that starts the workers, so that one whose starter died while it loaded knows."""

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""What numpy is told in every worker: the other cores are the others'. `torch.set_num_threads` does not reach it."""

LEAN_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(4 << 20)}
"""What glibc is told in every worker. Left to itself it gives each thread an arena of its own and keeps what was freed
there: with two generations of a million items a retrieval worker held 283 MiB, and holds 238 so. Threads rarely ask at
once, and arrays below 4 MiB, all that a request needs, still come from the heap."""


def prepare_workers(environment: Environment, settings: Settings, pinned: Path | None = None) -> None:
    """Called once in the parent of all workers: tell them who it is, where the store is and what the bento pins.

    Without REDIS_URL it starts the embedded store, which ends with that process.
    """
    os.environ[ARBITER] = str(os.getpid())
    for name, value in (LEAN_MALLOC | ONE_THREAD).items():
        os.environ.setdefault(name, value)
    if starter := os.environ.get(STARTER):
        watch_parent(int(starter), lambda: os.kill(os.getpid(), signal.SIGKILL))  # the workers are tied to this one
    if pinned is not None:
        os.environ[PINNED] = str(pinned)
    if environment.redis_url is None:
        os.environ["REDIS_URL"] = open_store(environment).url
    arbiter.attend(settings.standbys)


def become_worker(settings: Settings) -> None:
    """What every worker does first: end with its parent, and leave the other cores to the others."""
    logger.setLevel(logging.INFO)  # what BentoML shows of others begins with warnings
    tie_to_parent()
    batching.dispatch_at_once()
    if os.environ.get(ARBITER) not in (None, str(os.getppid())):
        sys.exit("The process that started this worker is gone.")
    torch.set_num_threads(settings.torch_threads)


def retrieval(environment: Environment) -> GenerationHolder[Retriever]:
    """Retrievers of generations fetched from the store."""
    return GenerationHolder(_cache(environment), load_retriever)


def ranking(environment: Environment) -> GenerationHolder[Ranker]:
    """Rankers of generations fetched from the store."""
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
    pipeline = Pipeline(users, callees, settings)
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
    return Recommender(desks, users, settings)


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

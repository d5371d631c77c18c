"""The composition root: the one place where settings become stores, caches, models and the recommender."""

from __future__ import annotations

import os
import sys
from functools import cache

import torch

from recsys.cache import GenerationCache
from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.lifeline import tie_to_parent
from recsys.ranker import Ranker
from recsys.retriever import Retriever
from recsys.store.connect import open_store
from recsys.store.items import RedisItemReader, RedisItemWriter
from recsys.store.redis import RedisGenerationStore, RedisUserStore
from service.holder import GenerationHolder
from service.items import ItemDesk, ItemFollower
from service.models import RankingModel, RetrievalModel
from service.pipeline import Pipeline
from service.query import ServedGeneration
from service.recommender import Recommender
from service.settings import Settings
from service.stages import Call

ARBITER = "TANDEM_ARBITER"
"""Names the process that starts the workers, so that one whose starter died while it loaded knows."""


def prepare_workers(environment: Environment) -> None:
    """Called once in the parent of all workers: tell them who it is and where the store is.

    Without REDIS_URL it starts the embedded store, which ends with that process.
    """
    os.environ[ARBITER] = str(os.getpid())
    if environment.redis_url is None:
        os.environ["REDIS_URL"] = open_store(environment).url


def become_worker(settings: Settings) -> None:
    """What every worker does first: end with its parent, and leave the other cores to the others."""
    tie_to_parent()
    if os.environ.get(ARBITER) not in (None, str(os.getppid())):
        sys.exit("The process that started this worker is gone.")
    torch.set_num_threads(settings.torch_threads)


def retrieval(environment: Environment) -> RetrievalModel:
    """Retrieval over generations fetched from the store."""
    puts = _items(_url(environment))
    return RetrievalModel(GenerationHolder(_cache(environment), Retriever.load), lambda: puts.current)


def ranking(environment: Environment) -> RankingModel:
    """Ranking over generations fetched from the store."""
    puts = _items(_url(environment))
    return RankingModel(GenerationHolder(_cache(environment), Ranker.load), lambda: puts.current)


def recommender(environment: Environment, settings: Settings, retrieve: Call, rank: Call) -> Recommender:
    """The gateway's recommender over two calls, wherever they lead."""
    users = RedisUserStore(_url(environment))
    return Recommender(
        Pipeline(users, retrieve, rank),
        users,
        RedisGenerationStore(_url(environment)),
        GenerationHolder(_cache(environment), ServedGeneration.load),
        settings,
        ItemDesk(RedisItemWriter(_url(environment)), _items(_url(environment))),
    )


@cache
def _items(url: str) -> ItemFollower:
    """What was put, followed by one thread of this process."""
    follower = ItemFollower(RedisItemReader(url))
    follower.start()
    return follower


def _cache(environment: Environment) -> GenerationCache:
    return GenerationCache(environment.folder("cache"), RedisGenerationStore(_url(environment)))


def _url(environment: Environment) -> str:
    if environment.redis_url is None:
        raise SettingsError("REDIS_URL is not set in this worker; start the service with make serve or bentoml serve.")
    return environment.redis_url

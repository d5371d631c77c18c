"""Tests that a gateway serves two aliases at once: names, such as `live`, of a generation (trained set of models).

Redis and two trained generations are real; all stages run in one process.
"""

import asyncio
import time
from contextlib import suppress

import redis

from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.generation.loader import load_ranker, load_retriever
from recsys.generation.publisher import Publisher
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.store import RedisGenerationStore
from recsys.store.key_names import alias_key
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import LIVE
from service.backends.calls import Backends
from service.backends.models import RankingModel, RetrievalModel
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder
from service.generations.local_generations import GenerationFallback
from service.generations.switcher import GenerationSwitcher
from service.recommend.pipeline import Pipeline
from service.settings import Settings
from service.verbs import answer_models

ARM = "arm"
ALIASES = (LIVE, ARM)


class TwoAliases:
    """A gateway with its models, which follows `live` and `arm`."""

    def __init__(self, url, pair, folder):
        self.pair = pair
        self.redis = redis.Redis.from_url(url)
        self.redis.flushall()
        store = RedisGenerationStore(url)
        for each in (pair.first, pair.second):
            Publisher(store, folder / "trials").publish(each)
        cache = GenerationCache(folder / "cache", store, content_checks.check)
        served, retrieval, ranking = (
            GenerationHolder(cache, load) for load in (ServedGeneration.load, load_retriever, load_ranker)
        )
        self.follower = GenerationFollower(
            "gateway", RedisGenerationStore(url), RedisProcessRegistry(url), (served, retrieval, ranking)
        )
        self.follower.aliases = ALIASES
        self.users = RedisUserStore(url)
        local = Backends.local(RetrievalModel(retrieval), RankingModel(ranking))
        self.pipeline = Pipeline(self.users, local, Settings())
        fallback = GenerationFallback(cache)
        self.switcher = GenerationSwitcher(self.follower, served, self.pipeline, fallback, Settings())

    def move(self, alias, generation):
        """Move an alias, as a promote does."""
        self.redis.set(alias_key(alias), generation)
        self.redis.publish(ALIASES_CHANNEL, f"{alias} {generation}")

    @property
    def in_force(self):
        """The generations of `live` and `arm`."""
        return tuple(self.follower.in_force.get(alias) for alias in ALIASES)

    async def until(self, reached):
        """Send batches with queries of both aliases, and check each answer, until `reached` is true."""
        end = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < end, (self.in_force, self.follower.refusals)
            if all(self.in_force):
                await self.batch()
            await asyncio.sleep(0.02)
        await self.batch()

    async def batch(self):
        """Send one batch; each answer is whole and of the generation of its alias."""
        due = time.monotonic() + 10
        generations = [self.switcher.generation(alias) for alias in ALIASES]
        assert tuple(each.id for each in generations) == self.in_force
        queries = [Query(each, user, 10, due) for user in range(0, 24, 3) for each in generations]
        await self.pipeline.run(queries)
        for query, generation in zip(queries, generations * (len(queries) // 2), strict=True):
            answer = answer_models.slate(query).model_dump()
            assert answer["generation"] == generation.id
            assert answer["degraded"] == []
            assert self.pair.expected[generation.id].agrees(answer, query.now)


def test_each_alias_is_served_from_its_own_generation(pair, own_valkey_url, tmp_path):
    """Each alias moves alone, a refused generation of one does not change the other, and no answer mixes two."""
    first, second = (each.manifest.id for each in (pair.first, pair.second))
    world = TwoAliases(own_valkey_url, pair, tmp_path)
    world.move(LIVE, first)

    async def scene():
        following = asyncio.create_task(world.switcher.follow())
        for alias, generation, in_force in (
            (ARM, second, (first, second)),
            (LIVE, second, (second, second)),
            (ARM, first, (second, first)),
        ):
            world.move(alias, generation)
            await world.until(lambda in_force=in_force: world.in_force == in_force)
        world.move(ARM, "g-nowhere")
        await world.until(lambda: "g-nowhere" in world.follower.refusals)
        world.move(LIVE, first)
        await world.until(lambda: world.in_force == (first, first))
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await asyncio.to_thread(world.follower.stop)
        await world.users.close()

    asyncio.run(scene())
    world.redis.close()

"""Tests that a gateway serves two aliases at once: names, such as `live`, of a generation (trained set of models).

Redis and two trained generations are real; all stages run in one process.
"""

import asyncio
import time
from contextlib import asynccontextmanager, suppress

import redis

from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.generation.loader import load_ranker, load_retriever
from recsys.generation.publisher import Publisher
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
from service.generations.served import ServedGeneration
from service.generations.switcher import GenerationSwitcher
from service.recommend.pipeline import Pipeline
from service.recommend.query import Query
from service.settings import Settings
from service.verbs import answer_models

ARM = "arm"
ALIASES = (LIVE, ARM)


class TwoAliases:
    """A gateway with its models, and a follower of another ranking process, that follow `live` and `arm`."""

    def __init__(self, url, pair, folder):
        self.pair, self.answered = pair, 0
        self.redis = redis.Redis.from_url(url)
        self.redis.flushall()
        self.store = RedisGenerationStore(url)
        for each in (pair.first, pair.second):
            Publisher(self.store, folder / "trials").publish(each)
        self.move(LIVE, pair.first.manifest.id)
        self.move(ARM, pair.second.manifest.id)
        cache = GenerationCache(folder / "cache", self.store, content_checks.check)
        served, retrieval, ranking, remote = (
            GenerationHolder(cache, load) for load in (ServedGeneration.load, load_retriever, load_ranker, load_ranker)
        )

        def follower(role, *holders):
            made = GenerationFollower(role, RedisGenerationStore(url), RedisProcessRegistry(url), holders)
            made.aliases = ALIASES
            return made

        self.ranking = follower("ranking", remote)
        gateway = follower("gateway", served, retrieval, ranking)
        self.users = RedisUserStore(url)
        local = Backends.local(RetrievalModel(retrieval), RankingModel(ranking))
        self.pipeline = Pipeline(self.users, local, Settings())
        self.switcher = GenerationSwitcher(gateway, served, self.pipeline, GenerationFallback(cache), Settings())

    def move(self, alias, generation):
        """Move an alias, as a promote does."""
        self.redis.set(alias_key(alias), generation)
        self.redis.publish(ALIASES_CHANNEL, f"{alias} {generation}")

    @property
    def in_force(self):
        """The generations of `live` and `arm`."""
        return tuple(self.switcher.follower.in_force.get(alias) for alias in ALIASES)

    async def until(self, reached):
        """Send batches with queries of both aliases, and check each answer, until `reached` is true."""
        end = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < end, (self.in_force, self.switcher.follower.refusals)
            if all(self.in_force):
                await self.batch()
            await asyncio.sleep(0.02)

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
            self.answered += 1

    @asynccontextmanager
    async def running(self):
        """Follow the aliases in both."""
        await asyncio.to_thread(self.ranking.start)
        following = asyncio.create_task(self.switcher.follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            for follower in (self.ranking, self.switcher.follower):
                await asyncio.to_thread(follower.stop)
            await self.users.close()
            self.redis.close()


def test_each_alias_is_served_from_its_own_generation(pair, own_valkey_url, tmp_path):
    """Each alias moves alone, a refused generation of one does not change the other, and no answer mixes two."""
    first, second = (each.manifest.id for each in (pair.first, pair.second))
    world = TwoAliases(own_valkey_url, pair, tmp_path)

    async def scene():
        async with world.running():
            await world.until(lambda: world.in_force == (first, second))
            await world.batch()
            world.move(LIVE, second)
            await world.until(lambda: world.in_force == (second, second))
            world.move(ARM, first)
            await world.until(lambda: world.in_force == (second, first))
            world.move(ARM, "g-nowhere")
            await world.until(lambda: "g-nowhere" in world.switcher.follower.refusals)
            world.move(LIVE, first)
            await world.until(lambda: world.in_force[0] == first)
            assert world.in_force == (first, first)

    asyncio.run(scene())
    assert world.answered > 0

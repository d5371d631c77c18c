"""Tests that a gateway serves two generations (trained sets of models) at once: the live one, and that of an arm.

Redis and two trained generations are real; all stages run in one process.
"""

import asyncio
import time
from contextlib import suppress

import redis

from recsys.experiments.definition import Arm, Definition
from recsys.experiments.document import Experiment
from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.generation.loader import load_ranker, load_retriever
from recsys.generation.publisher import Publisher
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.store import RedisGenerationStore
from recsys.store.key_names import alias_key
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import LIVE
from service.backends.calls import Backends
from service.backends.models import RankingModel, RetrievalModel
from service.generations.experiments_follower import ExperimentsFollower
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder
from service.generations.local_generations import GenerationFallback
from service.generations.switcher import GenerationSwitcher
from service.recommend.pipeline import Pipeline
from service.settings import Settings
from service.verbs import answer_models


class TwoAliases:
    """A gateway with its models, which follows `live` and an experiment."""

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
        self.experiments = RedisExperimentStore(url)
        self.follower = GenerationFollower(
            "gateway",
            RedisGenerationStore(url),
            RedisProcessRegistry(url),
            (served, retrieval, ranking),
            experiments=ExperimentsFollower(self.experiments),
        )
        self.users = RedisUserStore(url)
        local = Backends.local(RetrievalModel(retrieval), RankingModel(ranking))
        self.pipeline = Pipeline(self.users, local, Settings())
        fallback = GenerationFallback(cache)
        self.switcher = GenerationSwitcher(self.follower, served, self.pipeline, fallback, Settings())

    def promote(self, generation):
        """Move the alias `live`."""
        self.redis.set(alias_key(LIVE), generation)
        self.redis.publish(ALIASES_CHANNEL, f"{LIVE} {generation}")

    def run_arm(self, *generation):
        """Run an experiment whose arm answers from a generation, or none."""
        made = [Definition(name="test", arms={"new": Arm(share=0.5, generation=each)}) for each in generation]
        running = {each.name: Experiment(definition=each, status="running") for each in made}
        self.experiments.change(lambda document: document.model_copy(update={"experiments": running}))

    @property
    def in_force(self):
        """The generations of `live` and of arms."""
        in_force = dict(self.follower.in_force)
        return in_force.pop(LIVE, None), *in_force.values()

    async def until(self, reached):
        """Send batches with queries of both generations, and check each answer, until `reached` is true."""
        end = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < end, (self.in_force, self.follower.refusals)
            if self.follower.in_force:
                await self.batch()
            await asyncio.sleep(0.02)
        await self.batch()

    async def batch(self):
        """Send one batch; each answer is whole and of its generation."""
        due = time.monotonic() + 10
        live, *arms = self.in_force
        generations = [self.switcher.live(), *map(self.switcher.of_arm, arms)]
        assert [each.id for each in generations] == [live, *arms]
        queries = [Query(each, user, 10, due) for user in range(0, 24, 3) for each in generations]
        await self.pipeline.run(queries)
        for query, generation in zip(queries, generations * 8, strict=True):
            answer = answer_models.slate(query).model_dump()
            assert answer["generation"] == generation.id
            assert answer["degraded"] == []
            assert self.pair.expected[generation.id].agrees(answer, query.now)


def test_an_arm_is_served_from_its_own_generation(pair, own_valkey_url, tmp_path):
    """`live` and the arm change alone, the arm's generation may become live, and no answer mixes two."""
    first, second = (each.manifest.id for each in (pair.first, pair.second))
    world = TwoAliases(own_valkey_url, pair, tmp_path)
    world.promote(first)

    async def scene():
        following = asyncio.create_task(world.switcher.follow())
        for change, named, in_force in (
            (world.run_arm, (second,), (first, second)),
            (world.promote, (second,), (second, second)),
            (world.run_arm, (first,), (second, first)),
            (world.run_arm, (), (second,)),
            (world.promote, (first,), (first,)),
        ):
            change(*named)
            await world.until(lambda in_force=in_force: world.in_force == in_force)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await asyncio.to_thread(world.follower.stop)
        await world.users.close()

    asyncio.run(scene())
    world.redis.close()
    world.experiments.close()

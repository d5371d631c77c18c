"""What a gateway follows while the live generation loads for long, with a real store and fake generations."""

import asyncio
import contextlib
import threading
import time

import pytest
import redis

from recsys.experiments.definition import Arm, Definition
from recsys.experiments.document import Experiment
from recsys.generation.cache import GenerationCache
from recsys.slates.query import Query
from recsys.store import RedisGenerationStore
from recsys.store.key_names import alias_key, manifest_key
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.stored_types import LIVE
from service import schema
from service.experiments.request_arms import RequestArms
from service.generations.experiments_follower import ExperimentsFollower
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder
from service.generations.local_generations import GenerationFallback
from service.generations.switcher import GenerationSwitcher
from service.verbs.queries import Situation
from tests.fakes import fake_pipeline
from tests.fakes.fake_generations import Cache
from tests.fakes.fake_pipeline import Pipeline, Served, Settings

ARM = "test", "new"


class Nothing:
    """What a request needs beside its arms: no items are put, and the surface is the default one."""

    current, name = (), "default"


class Gateway:
    """Answers from generation a, and for some users from b. The load of `slow` ends when `go_on` is set."""

    def __init__(self, url, folder):
        self.redis = redis.Redis.from_url(url)
        self.redis.flushall()
        self.redis.set(manifest_key("b"), "{}")
        self.experiments = RedisExperimentStore(url)
        self.loading, self.go_on = threading.Event(), threading.Event()
        store, holder = RedisGenerationStore(url), GenerationHolder(Cache(), self._load)
        following = ExperimentsFollower(RedisExperimentStore(url))
        self.follower = GenerationFollower("gateway", store, RedisProcessRegistry(url), [holder], experiments=following)
        fallback = GenerationFallback(GenerationCache(folder, store))
        self.switcher = GenerationSwitcher(self.follower, holder, Pipeline(), fallback, Settings())
        self.arms = RequestArms(self.switcher, Nothing, None)

    def _load(self, name):
        if name == "slow":
            self.loading.set()
            assert self.go_on.wait(60)
        return Served(name)

    def promote(self, generation):
        self.redis.set(alias_key(LIVE), generation)
        self.redis.publish(ALIASES_CHANNEL, f"{LIVE} {generation}")

    def run_experiment(self, status):
        definition = Definition(name="test", arms={"new": Arm(share=0.5, generation="b")})
        running = {"test": Experiment(definition=definition, status=status, ramp=1.0)}
        self.experiments.change(lambda document: document.model_copy(update={"experiments": running}))

    def stop_experiment(self):
        self.run_experiment("stopped")

    def halt_arm(self):
        """As another gateway does."""
        self.experiments.halt(*ARM, "A hash differs.")

    def answers_from(self):
        """The generations that the requests of a hundred users get."""
        found = set()
        for user in range(100):
            situation = Situation(self.switcher.live(), Nothing, 0.0, time.time(), Query)
            request = schema.RecommendRequest(user_id=user)
            found.add(self.arms.query(request, user, situation, lambda pinned: pinned).generation.id)
        return found

    async def until(self, reached):
        async with asyncio.timeout(20):
            while not reached():
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("end", ["stop_experiment", "halt_arm"])
def test_the_end_of_an_arm_and_a_rollback_are_followed_while_the_live_generation_loads(
    own_valkey_url, tmp_path, monkeypatch, end
):
    """One thread reads the store, another one loads. All requests get the control, long before the load ends."""
    monkeypatch.setattr("service.generations.warm_up._queries", lambda *_: [fake_pipeline.Query()])
    gateway = Gateway(own_valkey_url, tmp_path)
    gateway.promote("a")
    gateway.run_experiment("running")

    async def scene():
        following = asyncio.create_task(gateway.switcher.follow())
        await gateway.until(lambda: gateway.switcher.ready and gateway.answers_from() == {"a", "b"})
        gateway.promote("slow")
        await gateway.until(gateway.loading.is_set)
        getattr(gateway, end)()
        await gateway.until(lambda: gateway.answers_from() == {"a"})
        gateway.promote("a")
        await gateway.until(lambda: gateway.follower.state.live == "a")
        assert "slow" not in gateway.follower.held
        gateway.go_on.set()
        await gateway.until(lambda: "slow" in gateway.follower.held)
        assert gateway.answers_from() == {"a"}
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    try:
        asyncio.run(scene())
    finally:
        gateway.go_on.set()
        gateway.follower.stop()
        gateway.experiments.close()
        gateway.redis.close()

"""Tests which generation (trained set of models) a process of retrieval or ranking holds while the store is away.

Redis and two trained generations are real. Each process has a cache of its own and pins the second generation, as the
pods of one image do; the first one is live.
"""

import pytest

from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.generation.loader import load_ranker, load_retriever
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from recsys.store.process_registry import Announcement
from recsys.store.redis.redis_registry import RedisProcessRegistry
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder
from service.generations.local_generations import GenerationFallback
from tests.fakes.fake_generations import refresh
from tests.servers.store_server import StoreServer

BACKENDS = pytest.mark.parametrize(
    ("role", "load"), [("retrieval", load_retriever), ("ranking", load_ranker)], ids=["retrieval", "ranking"]
)


class Pods:
    """A store that a test kills, a gateway that answers from the live generation, and processes of one pinned image."""

    def __init__(self, folder, pair):
        self._folder, self.pair = folder, pair
        self.server = StoreServer(folder / "redis").start()
        self.store = RedisGenerationStore(self.server.url)
        self.first, self.second = pair.first.manifest.id, pair.second.manifest.id
        self.publish(pair.first)

    def publish(self, folder):
        """Make a generation live."""
        Publisher(self.store, self._folder / "trials").publish(folder)
        self.store.promote(folder.manifest.id)

    def gateway_answers_from(self, *generations):
        """Announce a gateway."""
        RedisProcessRegistry(self.server.url).announce(Announcement("gateway x 1", "gateway", generations, generations))

    def process(self, role, load):
        """A process of the image, with an empty cache."""
        cache = GenerationCache(self._folder / role, RedisGenerationStore(self.server.url), content_checks.check)
        pinned, registry = GenerationFallback(cache, self.pair.second.path).ids, RedisProcessRegistry(self.server.url)
        holders = [GenerationHolder(cache, load)]
        return GenerationFollower(role, RedisGenerationStore(self.server.url), registry, holders, pinned)


@pytest.fixture
def pods(tmp_path, pair):
    pods = Pods(tmp_path, pair)
    yield pods
    pods.store.close()
    pods.server.stop()


@BACKENDS
@pytest.mark.parametrize("announced", [True, False])
def test_what_is_in_force_stays_while_the_store_is_away_and_when_it_comes_back_empty(pods, role, load, announced):
    """The pinned generation is not even loaded beside it. A publish moves the process.

    A gateway whose Redis user may only read does not announce what it answers from.
    """
    backend = pods.process(role, load)
    if announced:
        pods.gateway_answers_from(pods.first)
    refresh(backend)
    assert backend.held == {pods.first}
    pods.server.kill()
    for _ in range(3):
        refresh(backend)
    assert "No Redis answers" in backend.state.fault
    assert (backend.held, backend.unready) == ({pods.first}, None)
    pods.server.forget()
    pods.server.start()
    for _ in range(3):
        refresh(backend)
    assert backend.state.fault is None
    assert (backend.held, backend.unready) == ({pods.first}, None)
    pods.publish(pods.pair.second)
    refresh(backend)
    assert backend.held == {pods.first, pods.second}, "the gateway answers from the first until it moves"


@BACKENDS
def test_a_process_that_starts_without_the_store_holds_the_pinned_generation(pods, role, load):
    """And the live one once the store is back."""
    pods.server.kill()
    backend = pods.process(role, load)
    refresh(backend)
    assert (backend.held, backend.unready) == ({pods.second}, None)
    pods.server.start()
    pods.gateway_answers_from(pods.second)
    refresh(backend)
    assert backend.held == {pods.first, pods.second}

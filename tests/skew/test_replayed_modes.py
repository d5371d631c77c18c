"""The slates that `python -m training advise` replays are those of a running deployment in each mode, for 200 users."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
import redis

from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.slates.served_generation import ServedGeneration
from recsys.store import RedisFlowStore, RedisGenerationStore
from recsys.types import Mode
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from training.advisor.replay import Replay
from training.advisor.replayed_queries import ReplayedQueries
from training.advisor.replayed_slates import ReplayedService
from training.data.interaction_log import DAY

USERS, AT_ONCE = 200, 4


@pytest.fixture(scope="module")
def replay(tiny_world):
    """A query of each user now, over the served generation. Half of a history is older than a day."""
    folder, log = tiny_world
    asked = {"items": 0, "times": time.time(), "types": 0, "weights": 1, "users": np.arange(USERS)}
    columns = {
        name: np.append(column := getattr(log, name), np.broadcast_to(np.asarray(value, column.dtype), USERS))
        for name, value in asked.items()
    }
    contexts = np.append(log.contexts, np.zeros((USERS, log.contexts.shape[1]), np.uint8), axis=0)
    longer, at = replace(log, contexts=contexts, **columns), len(log) + np.arange(USERS)
    models = ReplayedService(ServedGeneration.load(folder), Retriever.load(folder), Ranker.load(folder))
    made = Replay.of(ReplayedQueries(longer, at, longer.items[at], {}), models)
    nothing = dict.fromkeys(made.trending, [()] * USERS)  # the deployment has no flow of trending items
    return replace(made, known={**made.known, DAY: made.known[0.0] // 2}, trending=nothing)


@pytest.fixture(scope="module")
def deployment(tiny_world, replay, own_valkey_url, tmp_path_factory):
    """A deployment with the lists of the replay, which know half of each history."""
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    lists = replay.lists(np.arange(USERS), DAY)
    manifest, store = tiny_world[0].manifest, RedisFlowStore(own_valkey_url)
    users = [str(replay.queries.user_id(at)) for at in range(USERS)]
    packed = {user: each.pack() for user, each in zip(users, lists, strict=True)}
    store.write_lists(manifest.id, manifest.user_buckets, packed)
    store.close()
    home = tmp_path_factory.mktemp("replayed")
    more = {"TANDEM_TOPOLOGY": "inline", "TANDEM_DEADLINE_MS": "10000"}
    with Deployment(home, home / "service.log", REDIS_URL=own_valkey_url, **more) as running:
        yield running, lists


def test_slates_of_200_users_are_those_of_a_deployment(replay, deployment):
    """The same items in the same order in each mode, and other slates in each."""
    running, lists = deployment
    slates = {}
    for mode in (Mode.BATCH, Mode.HYBRID, Mode.REALTIME):
        queries = [replay.query(at, mode=mode, listed=each) for at, each in enumerate(lists)]
        replay.service.answer(queries)
        slates[mode] = [[replay.service.generation.item_id(row) for row in each.items.tolist()] for each in queries]

        def ask(query, mode=mode):
            body = {"user_id": query.user_id, "k": query.k, "mode": mode}
            answer = httpx.post(f"{running.url}/recommend", json=body, timeout=30).raise_for_status().json()
            assert (answer["mode"], answer["degraded"]) == (mode, [])
            return [item["item_id"] for item in answer["items"]]

        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert list(pool.map(ask, queries)) == slates[mode]
    assert len({str(each) for each in slates.values()}) == len(slates)

"""A load test on a real deployment leaves the store as it was."""

import json
import time

import httpx
import pytest
import redis

from loadtests.tally import ANSWERED, Tally
from recsys.store import RedisFlowStore, RedisGenerationStore
from recsys.store.stored_types import Trending
from recsys.types import LOAD_TEST_USERS
from service.verbs.impressions import STEP_SECONDS
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.locust_command import LATE, locust
from tests.servers.store_server import StoreServer


def stored(url):
    """The keys and values of the store, without the registry of processes and the replies to calls, kept for 10 s."""
    with redis.Redis.from_url(url) as client:
        keys = sorted(key for key in client.scan_iter() if not key.startswith(b"process:") and b":call:" not in key)
        return {key: client.dump(key) for key in keys}


@pytest.fixture
def shop(tiny_world, tmp_path):
    """A deployment with a store of its own, which holds events, a list, trending items and an impression."""
    server = StoreServer(tmp_path / "store").start()
    generation = tiny.publish(tiny_world[0], RedisGenerationStore(server.url))
    buckets = tiny_world[0].manifest.user_buckets
    variables = {"REDIS_URL": server.url, "TANDEM_TOPOLOGY": "inline"}
    with Deployment(tmp_path, tmp_path / "service.log", **variables) as running:
        events = [{"user_id": 4, "item_id": "drama-1"}, {"user_id": "new", "item_id": "drama-2"}]
        httpx.post(f"{running.url}/events", json={"events": events}).raise_for_status()
        httpx.post(f"{running.url}/recommend", json={"user_id": 4}).raise_for_status()
        flows = RedisFlowStore(server.url)
        flows.write_trending(Trending(time.time(), (("drama-1", 1.0),)))
        flows.write_lists(generation, buckets, {"4": b"a list"})
        end = time.monotonic() + 20
        while not flows.read_impressions() and time.monotonic() < end:
            time.sleep(0.1)
        assert flows.read_impressions()
        flows.close()
        yield running, server.url
    server.stop()


def test_a_load_test_leaves_no_trace(shop, tmp_path):
    """Two Locust users, both doors, with clicks at one: the store holds the same bytes as before.

    Clicks write histories of load-test users, which expire, and nothing else.
    """
    deployment, store = shop
    before = stored(store)
    for door, url in (("http", deployment.url), ("grpc", f"127.0.0.1:{deployment.grpc_port}")):
        more = ["--clicks", "--click-share", "0.3"] if door == "grpc" else []
        result = locust(url, tmp_path / "load.json", "--door", door, *more, store=store, users=2, seconds=3)
        assert result.returncode in {0, 1, LATE}, result.stdout + result.stderr
        figures = json.loads((tmp_path / "load.json").read_text())
        assert 30 < figures["requests"] < 90, "a second user sends no second load"
        assert Tally.from_json(figures).count(*ANSWERED) > 30
        time.sleep(3 * STEP_SECONDS)  # the impression log has three steps, of at most so many seconds each
        after = stored(store)
        marked = {key for key in after if key.startswith(f"user:{LOAD_TEST_USERS}".encode())}
        assert bool(marked) == bool(more)
        assert {key: value for key, value in after.items() if key not in marked} == before

"""Faults of a running deployment, with windows of seconds: each fires its alert in Prometheus and no other.

The others are those of latency: a test machine may be slow at any time.
"""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import redis
import yaml

from loadtests.slo import Promises
from recsys.generation.publisher import Publisher
from recsys.lists.user_list import UserList
from recsys.store import RedisGenerationStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.stored_types import Trending
from tandem_client import Client
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from tests.servers.deployment import Deployment, wait_for
from tests.servers.prometheus import RULE_FILES, Prometheus, program, surface_rules, without_surface
from tests.servers.store_server import StoreServer

SURFACES = '[home]\nmode = "batch"\nlist_age = "10s"\n'
LISTED = 5
LATENCY = {"TandemLatencyBudgetBurn", "TandemSlow", "TandemModeSlow"}
QUIET_SECONDS = 20.0
"""Time of a deployment without a fault, and of a slow store: more than a window."""


def short(rules):
    """Rules with windows of 15 s in place of 5 min, whose alerts fire at once."""
    return re.sub(r"\n +for: \w+", "", rules.replace("[5m]", "[15s]"))


class World:
    """A deployment under requests, whose lists and trending items are written anew each 2 s."""

    def __init__(self, server, folder, deployment):
        self.server, self.folder, self.deployment = server, folder, deployment
        self.generations, self.flows = RedisGenerationStore(server.url), RedisFlowStore(server.url)
        self.served, self.ended, self.refreshing = [folder.manifest], threading.Event(), True

    def refresh(self):
        """What the flow `refresh` does, until the end."""
        items = tuple((f"drama-{number}", 1.0) for number in range(20))
        rows, nothing = np.arange(30, dtype=np.int32), np.zeros(30, np.uint16)
        while not self.ended.wait(2):
            if self.refreshing:
                listed = UserList(time.time(), 0, rows, nothing, nothing.astype(np.float32)).pack()
                for manifest in self.served:
                    self.flows.write_lists(manifest.id, manifest.user_buckets, {str(LISTED): listed})
                self.flows.write_trending(Trending(time.time(), items))

    def send(self):
        """Requests of both surfaces, until the end."""
        with Client(self.deployment.url, deadline=30) as client:
            while not self.ended.wait(0.05):
                client.recommend(LISTED, surface="home")
                client.recommend("stranger")

    def slow_store(self, seconds):
        """Pause the store again and again, for 0.3 s each."""
        end = time.monotonic() + seconds
        with redis.Redis.from_url(self.server.url) as store:
            while time.monotonic() < end:
                store.execute_command("CLIENT", "PAUSE", 300, "ALL")
                time.sleep(0.35)


@pytest.fixture
def world(tiny_world, tmp_path):
    program("prometheus")
    server = StoreServer(tmp_path / "store").start()
    tiny.publish(tiny_world[0], RedisGenerationStore(server.url))
    home = tmp_path / "home"
    home.mkdir()
    (home / "surfaces.toml").write_text(SURFACES)
    with Deployment(home, tmp_path / "service.log", REDIS_URL=server.url, TANDEM_DEADLINE_MS="10000") as running:
        world = World(server, tiny_world[0], running)
        with ThreadPoolExecutor(2) as pool:
            work = [pool.submit(world.refresh), pool.submit(world.send)]
            yield world
            world.ended.set()
        for each in work:
            each.result()
    server.stop()


@pytest.fixture
def prometheus(world, tmp_path):
    rules = {path.name: path.read_text() for path in RULE_FILES if path.name != "flow_alerts.yaml"}
    of_lists = next(rule for rule in yaml.safe_load(surface_rules())["groups"][0]["rules"] if "List" in rule["alert"])
    of_lists["expr"] = of_lists["expr"].replace('le="900.0"', 'le="10.0"')
    common = yaml.safe_load(without_surface(rules["alerts.yaml"]))
    common["groups"][0]["rules"].append(of_lists)
    rules["alerts.yaml"] = yaml.safe_dump(common, width=10_000)
    gateway = f"127.0.0.1:{world.deployment.port}"
    with Prometheus(tmp_path / "prometheus", gateway, {name: short(text) for name, text in rules.items()}) as found:
        yield found


def others(prometheus):
    """The alerts that fire, without those of latency."""
    return {each for each in prometheus.firing() if each.split()[0] not in LATENCY}


def check(prometheus, expected):
    """These alerts fire in the end, and until then no other but those of latency."""
    seen = set()

    def reached():
        seen.update(others(prometheus))
        return seen >= expected

    wait_for(reached)
    assert seen == expected


def check_quiet(prometheus):
    """No alert fires."""
    end = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < end:
        assert not others(prometheus)
        time.sleep(1)


@pytest.mark.slow
def test_each_fault_fires_its_alert_and_no_other(world, prometheus, tmp_path):
    """Lists that a flow no longer makes, a generation twice as old as promised, and a slow store."""
    wait_for(lambda: prometheus.values('tandem_workers{service="Gateway"}') and not others(prometheus))
    check_quiet(prometheus)

    world.refreshing = False
    check(prometheus, {"TandemServedListOld home"})
    world.refreshing = True
    wait_for(lambda: not others(prometheus))

    age = 2 * Promises.read().recommend.freshness["model"]
    old = altered(world.folder, tmp_path / "old", created=time.time() - age)
    world.served.append(Publisher(world.generations, tmp_path / "trials").publish(old))
    time.sleep(3)  # it has lists
    world.generations.promote(old.manifest.id)
    check(prometheus, {"TandemServedModelOld default", "TandemServedModelOld home"})
    world.generations.rollback()
    wait_for(lambda: not others(prometheus))

    world.slow_store(QUIET_SECONDS)
    names = {each.split()[0] for each in prometheus.firing()}
    assert names & LATENCY
    assert not names - LATENCY

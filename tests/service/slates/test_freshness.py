"""Freshness of answers on a running deployment: body, header and metric equal what the store holds."""

import re
import time

import httpx
import numpy as np
import pytest
import redis

from recsys.generation.manifest import Manifest
from recsys.generation.publisher import Publisher
from recsys.lists.user_list import UserList, digest
from recsys.store import RedisGenerationStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.stored_types import Trending
from recsys.types import Event
from service.grpc.tandem.v1 import recommender_pb2 as pb
from tandem_client import Client
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from tests.servers.deployment import Deployment, wait_for

LISTED, CLICKED = 5, 7
"""A user with a list of a flow, and one with the list of the publish."""

MODES = ("batch", "hybrid", "realtime", "auto")
HEADER = "x-tandem-freshness"
PARTS = ("model", "list", "trending", "event")


class World:
    """A deployment, and what its store holds."""

    def __init__(self, url, folder, deployment):
        self.folder, self.deployment = folder, deployment
        self.generations, self.flows = RedisGenerationStore(url), RedisFlowStore(url)
        self.web = httpx.Client(base_url=deployment.url, timeout=30)
        self.rpc = Client(f"grpc://{deployment.grpc}", deadline=30)
        self.trending = None

    def refresh(self, age):
        """Write what the flow `refresh` would have written `age` seconds ago: a list, and trending items."""
        manifest, rows = self.folder.manifest, np.arange(30, dtype=np.int32)
        stored = self.web.get(f"/users/{LISTED}").raise_for_status().json()["events"]
        events = [Event(LISTED, each["item_id"], each["timestamp"], each["event_type"]) for each in stored]
        listed = UserList(time.time() - age, digest(events), rows, np.zeros(30, np.uint16), np.zeros(30, np.float32))
        self.flows.write_lists(manifest.id, manifest.user_buckets, {str(LISTED): listed.pack()})
        self.trending = time.time() - age - 40
        items = tuple((f"{category}-{number}", 1.0) for category in tiny.CATEGORIES for number in range(10))
        self.flows.write_trending(Trending(self.trending, items))
        wait_for(lambda: abs(self.answer(LISTED, "realtime")[1].get("trending", 0) - time.time() + self.trending) < 1)

    def answer(self, user, mode, **more):
        """The body and the header of an answer, by the name of each part."""
        answer = self.web.post("/recommend", json={"user_id": user, "mode": mode, **more}).raise_for_status()
        pairs = (pair.split("=") for pair in answer.headers[HEADER].split(", "))
        return answer.json(), {part: float(age) for part, age in pairs}

    def expected(self, user, answer, session=()):
        """The ages that the store implies for an answer."""
        made = Manifest.from_json(self.generations.read_manifest(answer["generation"])).created
        held, now = self.web.get(f"/users/{user}").raise_for_status().json(), time.time()
        listed = None if answer["mode"] == "realtime" else held["listed_at"] or made
        times = [*(each["timestamp"] for each in (*held["history"], *held["events"])), *session]
        if answer["mode"] == "batch":
            times = [each for each in times if each <= listed]
        has_trending = answer["mode"] != "batch" and any("trending" in item["sources"] for item in answer["items"])
        moments = made, listed, self.trending if has_trending else None, max(times)
        return {part: now - moment for part, moment in zip(PARTS, moments, strict=True) if moment is not None}

    def sums(self):
        """The sum of each part's histogram."""
        found = re.findall(
            r'tandem_freshness_seconds_sum{part="(\w+)",surface="default"} (\S+)', self.web.get("/metrics").text
        )
        return dict.fromkeys(PARTS, 0.0) | {part: float(value) for part, value in found}

    def check(self, user, mode, **more):
        """Header, body and metric of an answer are those that the store implies; the answer."""
        before = self.sums()
        answer, header = self.answer(user, mode, **more)
        expected = self.expected(user, answer, [each["timestamp"] for each in more.get("session", ())])
        assert {part: age for part, age in answer["freshness"].items() if age is not None} == header
        assert header == pytest.approx(expected, abs=1)
        after = self.sums()
        assert {part: after[part] - before[part] for part in header} == pytest.approx(expected, abs=1)
        assert all(after[part] == before[part] for part in set(PARTS) - set(header))
        return answer


@pytest.fixture(scope="module")
def world(tiny_world, own_valkey_url, tmp_path_factory):
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    home = tmp_path_factory.mktemp("freshness")
    variables = {"REDIS_URL": own_valkey_url, "TANDEM_TOPOLOGY": "inline"}
    variables["TANDEM_DEADLINE_MS"] = "10000"  # a test machine may be slow
    with Deployment(home, home / "service.log", **variables) as running:
        yield World(own_valkey_url, tiny_world[0], running)


@pytest.mark.parametrize("mode", MODES)
def test_after_a_publish(world, mode):
    """A list of the publish is as old as the generation. Nothing is trending."""
    assert world.check(CLICKED, mode)["freshness"]["trending"] is None


class TestAfterARefresh:
    @pytest.mark.parametrize(("age", "mode"), [(600, mode) for mode in MODES] + [(30, mode) for mode in MODES])
    def test_the_list_and_trending_items_have_their_age(self, world, age, mode):
        """An older refresh, then a newer one: the ages fall."""
        if mode == MODES[0]:
            world.refresh(age)
        answer = world.check(LISTED, mode)
        assert (answer["freshness"]["list"] is None) == (answer["mode"] == "realtime")


class TestAfterAnEvent:
    @pytest.mark.parametrize("mode", MODES)
    def test_the_newest_event_counts_at_once_but_in_batch(self, world, mode):
        """A list takes no event into account that came after the list."""
        if mode == MODES[0]:
            world.refresh(30)
        event = {"user_id": LISTED, "item_id": "drama-3"}
        world.web.post("/events", json={"events": [event]}).raise_for_status()
        answer = world.check(LISTED, mode)
        assert (answer["freshness"]["event"] < 2) == (mode != "batch")

    def test_an_event_of_the_session_counts(self, world):
        """It is stored nowhere."""
        session = [{"item_id": "drama-4", "timestamp": time.time() - 3}]
        assert world.check(CLICKED, "realtime", session=session)["freshness"]["event"] < 5


def test_after_a_later_publish_the_model_is_younger(world, tmp_path):
    """From the first answer of the new generation on."""
    folder = altered(world.folder, tmp_path / "second", created=time.time() - 5)
    manifest = Publisher(world.generations, tmp_path / "trials").publish(folder)
    world.generations.promote(manifest.id)
    wait_for(lambda: world.answer(CLICKED, "realtime")[0]["generation"] == manifest.id)
    for mode in MODES:
        world.check(CLICKED, mode)


def test_both_doors_agree(world):
    """For several users the header has the oldest of each part."""
    users = [CLICKED, LISTED, "stranger"]
    answer = world.web.post("/recommend", json={"user_ids": users}).raise_for_status()
    ages = [slate["freshness"] for slate in answer.json()["slates"]]
    by_rpc = [slate.freshness.model_dump() for slate in world.rpc.recommend_many(users).slates]
    for one, other in zip(ages, by_rpc, strict=True):
        assert one == pytest.approx(other, abs=1)
    for part in PARTS:
        found = [each[part] for each in ages if each[part] is not None]
        assert not found or f"{part}={max(found)}" in answer.headers[HEADER]


def test_rank_and_similar_have_it_too(world):
    """Neither is made from a list here; /rank takes the user's events into account."""
    ranked = world.web.post("/rank", json={"user_id": CLICKED, "items": ["drama-1", "drama-2"]}).raise_for_status()
    similar = world.web.post("/similar", json={"item_id": "drama-1"}).raise_for_status()
    ages = ranked.json()["freshness"]
    assert ages["list"] is ages["trending"] is None
    assert similar.headers[HEADER] == f"model={similar.json()['freshness']['model']}"
    assert ranked.headers[HEADER] == f"model={ages['model']}, event={ages['event']}"
    assert set(pb.Freshness.DESCRIPTOR.fields_by_name) == set(PARTS)

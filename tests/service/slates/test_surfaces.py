"""Surfaces, similar items, items to rank, lists under overload, and the freshness of answers, at both doors.

Body, header and metric of an answer have the freshness that the store implies.
"""

import re
import time

import httpx
import numpy as np
import pytest

from recsys.generation.manifest import Manifest
from recsys.lists.similar_list import SimilarList
from recsys.lists.user_list import UserList, digest
from recsys.store import RedisGenerationStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.stored_types import Trending
from recsys.types import Event, Source
from service.schema import verb_table
from tandem_client import Client
from tests.sample_data import tiny
from tests.servers.both_doors import BothDoors
from tests.servers.deployment import wait_for

SURFACES = """
[home]
mode = "batch"
k = 4
rules = "home.toml"
[feed]
mode = "realtime"
k = 7
log_impressions = false
[hasty]
deadline_ms = 1
[mail]
list_fresh = 0
"""
PIN = '[[pin]]\nitem = "drama-20"\nplace = 2\n'
LISTED, PLAIN, WITH_LIST = 5, 7, "drama-2"
ITEMS = [f"{name}-{number}" for number in range(10, 18) for name in tiny.CATEGORIES]


class World:
    """A deployment with surfaces, and clients of both doors."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.web, self.rpc = Client(deployment.url, deadline=30), Client(f"grpc://{deployment.grpc}", deadline=30)

    @property
    def doors(self):
        return self.web, self.rpc

    def edit(self, name, text):
        """Write a file, and wait until the deployment has read it."""
        self.deployment.surfaces.with_name(name).write_text(text)
        time.sleep(2.5)


@pytest.fixture(scope="module")
def world(inline, tiny_world):
    served = tiny_world[0].manifest.id
    tables = tiny_world[0].tables()
    rows = np.array([tables.ids.row_of(item) for item in ITEMS], np.int32)
    empty = np.zeros(len(rows), np.uint16), np.zeros(len(rows), np.float32)
    listed = UserList(time.time(), 0, rows, *empty).pack()
    flows = RedisFlowStore(inline.url)
    flows.write_lists(served, tiny_world[0].manifest.user_buckets, {str(LISTED): listed})
    similar = SimilarList(
        time.time(), rows, np.full(len(rows), Source.EASE, np.uint16), *2 * [empty[1] - np.arange(len(rows))]
    )
    flows.write_similar(served, {tables.ids.row_of(WITH_LIST): similar.pack()})
    world = World(inline.deployment)
    world.edit("home.toml", PIN)
    world.edit("surfaces.toml", SURFACES)
    return world


def ids(answer):
    return [item.item_id for item in answer.items]


def scores(answer):
    return [score for item in answer.items for score in (item.score, item.tower_score)]


class TestSurfaces:
    def test_each_surface_has_its_own_mode_number_of_items_and_rules(self, world):
        """At both doors. A mode and a number in the request win, and answers name the surface."""
        for door in world.doors:
            home, feed, plain = (door.recommend(PLAIN, surface=name) for name in ("home", "feed", "default"))
            assert [(each.surface, each.mode, len(each.items)) for each in (home, feed, plain)] == [
                ("home", "batch", 4),
                ("feed", "realtime", 7),
                ("default", "realtime", 10),
            ]
            assert ids(home)[1] == "drama-20"
            assert home.items[1].rules == ["pin"]
            assert not any(item.rules for item in feed.items)
            assert ids(door.recommend(PLAIN)) == ids(plain)
            own = door.recommend(PLAIN, surface="home", mode="realtime", k=2)
            assert (own.mode, len(own.items)) == ("realtime", 2)
            explained = door.explain(PLAIN, "drama-20", surface="home")
            assert (explained.surface, explained.mode, explained.place) == ("home", "batch", 2)

    def test_the_deadline_of_a_surface_holds_for_it_alone(self, world):
        """A request may shorten it, and not extend it."""
        for door in world.doors:
            hasty = door.recommend(PLAIN, surface="hasty")
            assert set(hasty.degraded) >= {"store", "retrieval"}
            assert len(hasty.items) == 10
            assert door.recommend(PLAIN, surface="feed").degraded == []
        answer = httpx.post(
            f"{world.deployment.url}/recommend",
            json={"user_id": PLAIN, "surface": "feed"},
            headers={"x-deadline-ms": "1"},
        )
        assert "retrieval" in answer.json()["degraded"]

    def test_an_unknown_surface_is_refused_with_the_known_names(self, world):
        """By each verb that takes a surface, with the same error at both doors; metrics have no label of it."""
        doors = BothDoors(world.deployment)
        for verb, values in (
            (verb_table.RECOMMEND, {}),
            (verb_table.EXPLAIN, {"item_id": "drama-1"}),
            (verb_table.RANK, {"items": ["drama-1"]}),
            (verb_table.SIMILAR, {"item_id": "drama-1"}),
        ):
            http, rpc = doors.verdicts(verb, values | {"surface": "hom"})
            message = "There is no surface 'hom'; there is default, home, feed, hasty, mail."
            assert http == rpc == {"code": "invalid", "message": message, "field": "surface"}
        doors.close()
        text = httpx.get(f"{world.deployment.url}/metrics").text
        shown = set(re.findall(r'tandem_slate_seconds_count{mode="(\w+)",surface="(\w+)"}', text))
        assert ("batch", "home") in shown
        assert "hom" not in {surface for _, surface in shown}
        assert 'tandem_degraded_total{stage="retrieval",surface="hasty"}' in text

    def test_a_wrong_edit_is_a_sentence_and_the_last_surfaces_stay(self, world):
        """In the log and in /status, for the surfaces and for their rules. A right edit is in force."""
        world.edit("surfaces.toml", SURFACES.replace("k = 4", "k = 400"))
        assert len(world.web.recommend(PLAIN, surface="home").items) == 4
        for door in world.doors:
            [sentence] = door.status().surface_errors
            assert sentence.startswith("surfaces.toml: home.k is ")
        assert sentence in world.deployment.log.read_text()
        world.edit("surfaces.toml", SURFACES.replace("k = 4", "k = 5"))
        status = world.web.status()
        assert (status.surface_errors, status.surfaces) == ([], ["default", "home", "feed", "hasty", "mail"])
        assert len(world.rpc.recommend(PLAIN, surface="home").items) == 5
        world.edit("home.toml", "[[cap]]\ncolumn = 3\n")
        assert any(line.startswith("home.toml: cap.0.column") for line in world.web.status().rules)
        assert ids(world.web.recommend(PLAIN, surface="home"))[1] == "drama-20"
        world.edit("home.toml", PIN)
        world.edit("surfaces.toml", SURFACES)
        assert world.web.status().rules == []


class TestSimilar:
    def test_a_surface_in_mode_batch_answers_from_the_list_of_the_item(self, world):
        """At both doors, with the filters of the request and `k` of the surface. Other surfaces compute the answer."""
        for door in world.doors:
            home = door.similar(WITH_LIST, surface="home")
            assert (ids(home), home.mode, home.surface, home.degraded) == (ITEMS[:4], "batch", "home", [])
            assert [item.sources for item in home.items] == [["precomputed", "ease"]] * 4
            assert [item.score for item in home.items] == [item.likeness for item in home.items] == [0, -1, -2, -3]
            dramas = door.similar(
                WITH_LIST, surface="home", k=3, exclude=["drama-10"], filter={"categories": ["drama"]}
            )
            assert (ids(dramas), dramas.mode) == (["drama-11", "drama-12", "drama-13"], "batch")
            for other in (
                door.similar(WITH_LIST),
                door.similar(WITH_LIST, surface="feed"),
                door.similar("drama-1", surface="home"),  # it has no list
                door.similar(WITH_LIST, surface="home", filter={"year": {"lt": 1993}}),  # its list has none of them
            ):
                assert (other.mode, "precomputed" in other.items[0].sources) == ("realtime", False)
                assert len(other.items) == {"default": 10, "feed": 7, "home": 4}[other.surface]


class TestRank:
    def test_the_order_and_scores_are_those_of_a_list_in_mode_hybrid(self, world):
        """For a user whose list holds the same items, at both doors, in any order of the request."""
        for door in world.doors:
            for items in (ITEMS, ITEMS[::-1]):
                ranked = door.rank(items, user_id=LISTED, exclude_seen=True)
                hybrid = door.recommend(LISTED, mode="hybrid", k=len(ranked.items))
                assert (ids(ranked), ranked.removed) == (ids(hybrid), hybrid.removed)
                assert ranked.removed.keys() == {"seen"}
                assert (hybrid.mode, ranked.degraded, ranked.unknown_items) == ("hybrid", [], [])
                assert scores(ranked) == pytest.approx(scores(hybrid), abs=1e-3)  # the time of the request is a feature


MODES = ("batch", "hybrid", "realtime", "auto")
HEADER = "x-tandem-freshness"
PARTS = ("model", "list", "trending", "event")


class Ages:
    """The freshness of answers, and what the store holds."""

    def __init__(self, url, folder, deployment):
        self.folder = folder
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
def aged(world, tiny_world, inline):
    return Ages(inline.url, tiny_world[0], world.deployment)


@pytest.mark.parametrize("mode", MODES)
def test_after_a_publish(aged, mode):
    """A list of the publish is as old as the generation. Nothing is trending."""
    assert aged.check(PLAIN, mode)["freshness"]["trending"] is None


class TestAfterARefresh:
    @pytest.mark.parametrize(("age", "mode"), [(600, mode) for mode in MODES] + [(30, mode) for mode in MODES])
    def test_the_list_and_trending_items_have_their_age(self, aged, age, mode):
        """An older refresh, then a newer one: the ages fall."""
        if mode == MODES[0]:
            aged.refresh(age)
        answer = aged.check(LISTED, mode)
        assert (answer["freshness"]["list"] is None) == (answer["mode"] == "realtime")


class TestAfterAnEvent:
    @pytest.mark.parametrize("mode", MODES)
    def test_the_newest_event_counts_at_once_but_in_batch(self, aged, mode):
        """A list takes no event into account that came after the list."""
        if mode == MODES[0]:
            aged.refresh(30)
        event = {"user_id": LISTED, "item_id": "drama-3"}
        aged.web.post("/events", json={"events": [event]}).raise_for_status()
        answer = aged.check(LISTED, mode)
        assert (answer["freshness"]["event"] < 2) == (mode != "batch")


def test_both_doors_agree(aged):
    """For several users the header has the oldest of each part."""
    users = [PLAIN, LISTED, "stranger"]
    answer = aged.web.post("/recommend", json={"user_ids": users}).raise_for_status()
    ages = [slate["freshness"] for slate in answer.json()["slates"]]
    by_rpc = [slate.freshness.model_dump() for slate in aged.rpc.recommend_many(users).slates]
    for one, other in zip(ages, by_rpc, strict=True):
        assert one == pytest.approx(other, abs=1)
    for part in PARTS:
        found = [each[part] for each in ages if each[part] is not None]
        assert not found or f"{part}={max(found)}" in answer.headers[HEADER]

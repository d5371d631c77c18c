"""Surfaces, similar items, items to rank, and lists under overload, on a running deployment over HTTP and gRPC."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import redis

from recsys.lists.similar_list import SimilarList
from recsys.lists.user_list import UserList
from recsys.store import RedisGenerationStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.types import Source
from service.schema import verb_table
from tandem_client import Client, RequestRefused
from tests.sample_data import tiny
from tests.servers.both_doors import BothDoors
from tests.servers.deployment import Deployment

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
    """A deployment with surfaces, which admits one slate at a time, and clients of both doors."""

    def __init__(self, home, deployment):
        self.home, self.deployment = home, deployment
        self.web, self.rpc = Client(deployment.url, deadline=30), Client(f"grpc://{deployment.grpc}", deadline=30)

    @property
    def doors(self):
        return self.web, self.rpc

    def edit(self, name, text):
        """Write a file, and wait until the deployment has read it."""
        (self.home / name).write_text(text)
        time.sleep(2.5)


@pytest.fixture(scope="module")
def world(tiny_world, own_valkey_url, tmp_path_factory):
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    served = tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    tables = tiny_world[0].tables()
    rows = np.array([tables.ids.row_of(item) for item in ITEMS], np.int32)
    empty = np.zeros(len(rows), np.uint16), np.zeros(len(rows), np.float32)
    listed = UserList(time.time(), 0, rows, *empty).pack()
    flows = RedisFlowStore(own_valkey_url)
    flows.write_lists(served, tiny_world[0].manifest.user_buckets, {str(LISTED): listed})
    similar = SimilarList(
        time.time(), rows, np.full(len(rows), Source.EASE, np.uint16), *2 * [empty[1] - np.arange(len(rows))]
    )
    flows.write_similar(served, {tables.ids.row_of(WITH_LIST): similar.pack()})
    home = tmp_path_factory.mktemp("surfaces")
    (home / "surfaces.toml").write_text(SURFACES)
    (home / "home.toml").write_text(PIN)
    variables = {"REDIS_URL": own_valkey_url, "TANDEM_TOPOLOGY": "inline", "TANDEM_MAX_UNDER_WAY": "1"}
    variables["TANDEM_DEADLINE_MS"] = "10000"  # a test machine may be slow
    with Deployment(home, home / "service.log", **variables) as running:
        yield World(home, running)


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
            assert set(door.recommend(PLAIN, surface="hasty").degraded) >= {"store", "retrieval"}
            assert door.recommend(PLAIN, surface="feed").degraded == []
        answer = httpx.post(
            f"{world.deployment.url}/recommend",
            json={"user_id": PLAIN, "surface": "feed"},
            headers={"x-deadline-ms": "1"},
        )
        assert "retrieval" in answer.json()["degraded"]

    def test_the_age_up_to_which_a_list_is_fresh_is_the_surface_s(self, world):
        """In mode auto."""
        assert world.web.recommend(LISTED).mode == "batch"
        assert world.web.recommend(LISTED, surface="mail").mode == "hybrid"

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
        assert {surface for _, surface in shown} <= {"default", "home", "feed", "hasty", "mail"}
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

    def test_unknown_items_are_named_and_seen_items_stay(self, world):
        """Each once. `exclude_seen` leaves seen items out, `k` and the rules of the surface count."""
        world.web.add_events([{"user_id": "searcher", "item_id": "drama-3"}])
        items = ["drama-3", "opera-1", "drama-20", "action-2", 7, "drama-3"]
        session = [{"item_id": "opera-2"}]
        for door in world.doors:
            ranked = door.rank(items, user_id="searcher", session=session)
            assert sorted(ids(ranked)) == ["action-2", "drama-20", "drama-3"]
            assert ranked.unknown_items == ["opera-1", 7, "opera-2"]
            assert (ranked.user_id, ranked.history, ranked.surface) == ("searcher", 1, "default")
            unseen = door.rank(items, user_id="searcher", exclude_seen=True, exclude=["action-2"])
            assert (ids(unseen), unseen.removed) == (["drama-20"], {"seen": 1, "excluded": 1})
            assert len(door.rank(items, k=1).items) == 1
            home = door.rank(["drama-3", "drama-4", "drama-20"], surface="home")
            assert (ids(home)[1], home.surface) == ("drama-20", "home")
            assert "drama-20" not in ids(door.rank(["drama-3", "drama-4"], surface="home"))
            assert door.rank(["opera-1"]).items == []

    def test_too_many_items_are_refused_with_their_field(self, world):
        """Also none."""
        for door in world.doors:
            for items in ([], ["x"] * 501):
                with pytest.raises(RequestRefused) as refused:
                    door.rank(items)
                assert refused.value.field == "items"


def test_under_overload_a_user_with_a_list_gets_an_answer_that_says_so(world):
    """A visitor, who has no list, is refused while the deployment makes one slate at a time."""

    def send(body):
        answer = client.post("/recommend", json=body)
        return answer.status_code, answer.json()

    bodies = [{"user_id": LISTED, "mode": "realtime"}, {"session": [{"item_id": "drama-1"}]}] * 300
    with httpx.Client(base_url=world.deployment.url, timeout=30) as client, ThreadPoolExecutor(24) as pool:
        found = list(pool.map(send, bodies))
    of_user, of_visitors = found[::2], found[1::2]
    assert {status for status, _ in of_user} == {200}
    shown = Counter((answer["mode"], *answer["degraded"]) for _, answer in of_user)
    assert shown["batch", "overload"] > 0
    assert {status for status, _ in of_visitors} <= {200, 429}
    assert 429 in {status for status, _ in of_visitors}
    for _, answer in of_user:
        if "overload" in answer["degraded"]:
            assert {item["item_id"] for item in answer["items"]} <= set(ITEMS)
            assert answer["freshness"]["list"] is not None
    text = httpx.get(f"{world.deployment.url}/metrics").text
    assert 'tandem_degraded_total{stage="overload",surface="default"}' in text

"""The verbs besides a plain slate, over HTTP on a running deployment: filters, similar items, explanations, users."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import redis
import torch

from recsys.generation.manifest import RANKER, Manifest
from recsys.kernels import time_features
from recsys.lists.user_record import UserRecord
from recsys.model import features
from recsys.model.ranker import RankerNet
from recsys.retrieval.retriever import Retriever
from recsys.store.stored_types import user_bucket
from service.verbs.explain import COMPARED
from tests.sample_data import tiny

USER, TIMES = 4, 40


@pytest.fixture(scope="module")
def quiet(inline):
    """A client of a deployment in one process that gets no events and no items.

    Its answers follow from its generation alone.
    """
    return inline.client


def post(client, path, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


def test_several_users_get_the_slates_that_each_gets_alone(client):
    """In the order of the request, also for unknown users."""
    users = [USER, "nobody", 7]
    together = post(client, "/recommend", user_ids=users, k=5)["slates"]
    assert [slate["user_id"] for slate in together] == users
    for user, slate in zip(users, together, strict=True):
        assert ids(slate) == ids(post(client, "/recommend", user_id=user, k=5))


class TestFilter:
    def test_a_range_of_a_column(self, client):
        """In every mode, with another condition, and for similar items. The explanation names bound and value."""
        wanted = {"year": {"gte": 1995, "lt": 2005}, "categories": ["drama"]}
        for mode in ("auto", "batch", "hybrid", "realtime"):
            answer = post(client, "/recommend", user_id=USER, k=20, filter=wanted, mode=mode)
            assert {int(item.removeprefix("drama-")) for item in ids(answer)} == {*range(5, 15)}
            assert "filter" not in answer["removed"]
        late = {"year": {"gt": 2012}, "categories": list(tiny.CATEGORIES)}  # other tests put items of other categories
        similar = ids(post(client, "/similar", item_id="drama-3", k=20, filter=late))
        assert sorted(similar) == sorted(f"{name}-{number}" for name in tiny.CATEGORIES for number in (23, 24))
        explained = post(client, "/explain", user_id=USER, item_id="drama-20", filter=wanted)
        assert explained["dropped_by"] == "filter"
        assert (
            explained["reason"] == "The request's filter requires year >= 1995 and < 2005, and the item's year is 2010."
        )


def brute(folder, log, user, now):
    """The candidates and features of a user as training computes them, without the service."""
    everybody = replace(log.final_histories(np.arange(len(log.user_ids))), now=np.full(len(log.user_ids), now))
    everybody.context[:] = 0
    everybody.context[:, : time_features.clock(everybody.now).shape[1]] = time_features.clock(everybody.now)
    past = everybody.take(np.array([user]))
    candidates = Retriever.load(folder).retrieve(past)
    return past, candidates, features.build(folder.tables(), past, candidates)[0]


class TestExplain:
    def test_a_kept_item_against_a_recomputation(self, quiet, tiny_world):
        """Place, scores, and the contribution of each feature: the loss of score with the mean of the feature in its
        place; and how much more that is than the mean of candidates that lie evenly.
        """
        folder, log = tiny_world
        body = {"user_id": int(log.user_ids[USER]), "k": 8}
        slate = post(quiet, "/recommend", **body)
        explained = post(quiet, "/explain", item_id=ids(slate)[2], **body)
        assert (explained["place"], explained["dropped_by"]) == (3, None)
        assert explained["score"] == pytest.approx(slate["items"][2]["score"], abs=2e-3)
        _, candidates, rows = brute(folder, log, USER, time.time())
        net, names = RankerNet.load(folder.path / RANKER), features.names(folder.spec())
        at = candidates.items[0].tolist().index(folder.tables().ids.row_of(explained["item_id"]))
        x, count = torch.from_numpy(rows[at]), int((candidates.items >= 0).sum())
        with torch.inference_mode():
            score = float(net(x))
            every = torch.from_numpy(rows[: count : math.ceil(count / COMPARED)])
            for feature in explained["features"]:
                place = names.index(feature["name"])
                without, none_has = x.clone(), every.clone()
                without[place] = none_has[:, place] = net.mean[place]
                contribution, mean = score - float(net(without)), float((net(every) - net(none_has)).mean())
                assert feature["value"] == pytest.approx(float(x[place]), abs=1e-3)
                assert feature["contribution"] == pytest.approx(contribution, abs=5e-3)
                assert feature["relative"] == pytest.approx(contribution - mean, abs=5e-3)
        assert sorted(each["name"] for each in explained["features"]) == sorted(names)
        assert names[-2:] == ("own_year", "gap_year")

    def test_an_item_beyond_the_slate(self, quiet, tiny_world):
        """Its places by the tower among all items and by the ranker among the candidates."""
        folder, log = tiny_world
        user = int(log.user_ids[USER])
        far = ids(post(quiet, "/recommend", user_id=user, k=30))[25]
        explained = post(quiet, "/explain", user_id=user, item_id=far, k=5)
        assert (explained["place"], explained["dropped_by"], explained["ranked_place"]) == (None, "ranking", 26)
        past, _, _ = brute(folder, log, USER, time.time())
        vector = Retriever.load(folder)._encoder.encode(past)[0]
        all_scores = folder.tables().embeddings @ vector
        mine = all_scores[folder.tables().ids.row_of(far)]
        assert explained["tower_score"] == pytest.approx(float(mine), abs=1e-3)
        assert abs(explained["tower_place"] - int((all_scores > mine).sum()) - 1) <= 1

    def test_items_that_filters_removed(self, quiet, tiny_world):
        """Seen, excluded, of another category: each has the name of its filter."""
        folder, log = tiny_world
        user = int(log.user_ids[USER])
        seen = folder.tables().ids[int(log.items[log.users == USER][0])]
        assert post(quiet, "/explain", user_id=user, item_id=seen)["dropped_by"] == "seen"
        best = ids(post(quiet, "/recommend", user_id=user))[0]
        assert post(quiet, "/explain", user_id=user, item_id=best, exclude=[best])["dropped_by"] == "excluded"
        other = "drama" if not best.startswith("drama") else "comedy"
        explained = post(quiet, "/explain", user_id=user, item_id=best, filter={"categories": [other]})
        assert explained["dropped_by"] == "filter"


class TestUsers:
    def test_a_deleted_user_is_in_no_key(self, client, embedded_url):
        """No byte of the id is in the store, and the next request is of an unknown user."""
        user = "somebody/with a 💜 name-0123456789abcdef"
        post(client, "/events", user_id=user, item_id="drama-1", event_id="x")
        post(client, "/events", user_id=user, item_id="drama-2", event_type="impression")
        assert post(client, "/recommend", user_id=user)["history"] == 1
        path = "/users/" + quote(user, safe="")
        assert len(client.get(path).json()["events"]) == 1
        assert client.delete(path).json() == {"user_id": user, "forgotten": True}
        with redis.Redis.from_url(embedded_url) as store:
            for key in store.scan_iter():
                assert b"0123456789abcdef" not in key
                if store.type(key) == b"stream":
                    assert b"0123456789abcdef" not in repr(store.xrange(key)).encode()
        assert post(client, "/recommend", user_id=user)["history"] == 0  # last: it is an impression of this user again


class TestMerge:
    def test_a_login_gets_the_events_of_the_visitor(self, client, embedded_url):
        """The next slate takes them into account, a second merge has the same answer, and the visitor's keys are
        gone.
        """
        visitor, login = "visitor-before-the-login-0123456789abcdef", "after the login"
        sent = [{"user_id": visitor, "item_id": f"drama-{n}", "event_id": f"e{n}"} for n in (1, 2)]
        post(client, "/events", events=[*sent, {"user_id": login, "item_id": "comedy-1"}])
        merged = {"user_id": visitor, "into": login, "events": 3}
        path = f"/users/{visitor}/merge"
        assert post(client, path, into=login) == merged
        answer = post(client, "/recommend", user_id=login)
        assert answer["history"] == 3
        assert not {"drama-1", "drama-2", "comedy-1"} & set(ids(answer))
        assert set(keys_with(embedded_url, visitor)) <= {b"events", b"impressions"}  # swept within a minute
        assert post(client, path, into=login) == merged
        assert post(client, "/events", events=[each | {"user_id": login} for each in sent])["stored"] == 0
        assert post(client, "/recommend", user_id=login)["history"] == 3

    def test_a_merge_moves_the_trained_history(self, client, published, embedded_url):
        """The part of the last 90 days, also of a user without events."""
        user = "trained"
        now = time.time()
        record = UserRecord.empty()
        kept = replace(
            record,
            items=np.array([3, 4, 5], np.int32),
            times=np.array([now - 100 * 86_400, now - 9, now - 8]),
            types=np.zeros(3, np.uint8),
        )
        with redis.Redis.from_url(embedded_url) as store:
            buckets = Manifest.from_json(store.get(f"gen:{published}:manifest")).user_buckets
            store.hset(f"gen:{published}:users:{user_bucket(user, buckets)}", user, kept.pack())
        past = client.get(f"/users/{user}").json()["history"]
        assert len(past) == 3
        assert post(client, f"/users/{user}/merge", into="login of trained")["events"] == 2
        login = client.get("/users/login%20of%20trained").json()
        assert [event["item_id"] for event in login["events"]] == [event["item_id"] for event in past[1:]]
        assert not client.get(f"/users/{user}").json()["known"]

    @pytest.mark.parametrize("visitor", ["a/b", "ann\n", "../x", "x/merge", "merge", "💜", "7 ?#%"])
    def test_the_path_of_a_merge_is_exact(self, client, visitor):
        """An id is exact to the last character, and an unescaped slash is part of the verb."""
        post(client, "/events", user_id=visitor, item_id="drama-1")
        path = "/users/" + quote(visitor, safe="").replace(".", "%2E") + "/merge"
        assert post(client, path, into="odd")["user_id"] == visitor
        assert client.get(path.removesuffix("/merge")).json()["events"] == []
        for method in ("GET", "DELETE"):  # a slash that is not escaped is the verb's
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def keys_with(url, text):
    """The keys that have a text in their name or in a value."""
    readers = {
        b"none": lambda store, key: [],  # it has expired
        b"string": lambda store, key: [store.get(key) or b""],
        b"hash": lambda store, key: store.hkeys(key),
        b"list": lambda store, key: store.lrange(key, 0, -1),
        b"zset": lambda store, key: store.zrange(key, 0, -1),
        b"set": lambda store, key: store.smembers(key),
        b"stream": lambda store, key: [repr(entry).encode() for entry in store.xrange(key)],
    }
    with redis.Redis.from_url(url) as store:
        return [
            key
            for key in store.scan_iter()
            if any(text.encode() in value for value in [key, *readers[store.type(key)](store, key)])
        ]


class TestVisitor:
    """Requests without user_id."""

    SESSION = ({"item_id": "drama-1"}, {"item_id": "drama-2"})

    @pytest.mark.parametrize("mode", ["auto", "realtime", "hybrid", "batch"])
    @pytest.mark.parametrize("session", [[], SESSION])
    def test_a_visitor_gets_the_slate_of_a_user_without_a_past(self, quiet, session, mode):
        """With the same session; in mode batch both get popular items."""
        fields = {"session": list(session), "k": 20, "mode": mode}
        visitor = post(quiet, "/recommend", **fields)
        stranger = post(quiet, "/recommend", user_id="without a past", **fields)
        same = {"user_id": None, "freshness": None}  # ages: the second answer is a moment later
        assert visitor | same == stranger | same
        assert (visitor["history"], len(visitor["items"])) == (len(session), 20)
        assert not {"drama-1", "drama-2"} & set(ids(visitor)) or not session


def connection(deployment):
    """A client with connections of its own, which reads no certificates for them."""
    return httpx.Client(base_url=deployment.url, timeout=60, verify=False)


def test_a_click_is_in_the_history_of_the_next_request(deployment):
    """40 times: sent over one connection, read over another."""

    def once(n):
        user = f"fast-{n}"
        with connection(deployment) as one, connection(deployment) as other:
            one.post("/events", json={"user_id": user, "item_id": f"drama-{n % 25}"}).raise_for_status()
            answer = other.post("/recommend", json={"user_id": user}).json()
        return answer["history"] == 1 and f"drama-{n % 25}" not in ids(answer)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(once, range(TIMES))) == TIMES


KNOWN, STRANGER = 4, "odd-stranger"

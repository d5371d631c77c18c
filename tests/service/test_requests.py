"""What a product team asks besides a slate, over HTTP on a running deployment."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import redis
import torch

from recsys.filters.compiled_conditions import matches, packed
from recsys.generation.manifest import RANKER, Manifest
from recsys.lists.user_record import UserRecord
from recsys.model import features, time_features
from recsys.model.ranker import Ranker, RankerNet
from recsys.retrieval.retriever import Retriever
from recsys.store.ports import user_bucket
from recsys.types import PAD
from tandem_client import Client
from tests.sample_data import tiny

USER, TIMES = 4, 300


@pytest.fixture(scope="module")
def client(deployment):
    with httpx.Client(base_url=deployment.url, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="module")
def quiet(untouched):
    """A client of a deployment whose answers can be computed from its generation alone."""
    with httpx.Client(base_url=untouched.url, timeout=30) as opened:
        yield opened


def ask(client, path, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


def test_several_users_get_what_each_gets_alone(client):
    """In the order they were named in, unknown ones too."""
    users = [USER, "nobody", 7]
    together = ask(client, "/recommend", user_ids=users, k=5)["slates"]
    assert [slate["user_id"] for slate in together] == users
    for user, slate in zip(users, together, strict=True):
        assert ids(slate) == ids(ask(client, "/recommend", user_id=user, k=5))


class TestFilter:
    def test_only_what_is_asked_for(self, client):
        """Of one genre, found by retrieval: nothing has to be taken out, and nothing that is popular to fill up."""
        answer = ask(client, "/recommend", user_id=USER, k=20, filter={"categories": ["drama"]})
        assert len(set(ids(answer))) == 20
        assert all(item.startswith("drama") for item in ids(answer))
        assert "filter" not in answer["removed"]
        assert not any(item["rules"] for item in answer["items"])

    def test_it_is_the_ranker_s_order_of_all_that_is_left(self, quiet, tiny_world):
        """Scored here, every item of the genre that the user has not had, whatever the sources bring without it."""
        folder, log = tiny_world
        answer = ask(quiet, "/recommend", user_id=int(log.user_ids[USER]), k=20, filter={"categories": ["action"]})
        tables, retriever = folder.tables(), Retriever.load(folder)
        past, _, _ = brute(folder, log, USER, time.time())
        of_genre = np.array([row for row in range(len(tables)) if tables.ids[row].startswith("action")], np.int32)
        left = of_genre[~np.isin(of_genre, log.items[log.users == USER])]
        candidates = retriever.retrieve(past, None, packed(matches({"categories": ["action"]}, folder.spec()))[None])
        real = candidates.items[0] != PAD
        assert sorted(candidates.items[0, real].tolist()) == left.tolist()
        scores = np.where(real, Ranker.load(folder).score(past, candidates)[0], -np.inf)
        best = np.argsort(-scores, kind="stable")[:20]
        assert ids(answer) == [tables.ids[int(row)] for row in candidates.items[0, best]]
        told = [item["score"] for item in answer["items"]]
        assert told == pytest.approx(scores[best].tolist(), abs=2e-3)

    def test_a_category_of_which_nothing_is_left(self, client):
        """Nothing to show is an empty list and no error."""
        left = ids(ask(client, "/recommend", user_id=USER, k=100, filter={"categories": ["drama"]}))
        answer = ask(client, "/recommend", user_id=USER, filter={"categories": ["drama"]}, exclude=left)
        assert answer["items"] == []
        assert answer["degraded"] == []

    def test_a_category_that_no_item_has(self, client):
        """Refused, with the field and what may have been meant."""
        answer = client.post("/recommend", json={"user_id": USER, "filter": {"categories": ["Dramma"]}})
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == "filter.categories"
        assert "drama" in answer.json()["error"]["message"]

    def test_a_column_that_is_none(self, client):
        """The ones that can be used are named."""
        answer = client.post("/recommend", json={"user_id": USER, "filter": {"price": {"lt": 20}}})
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == "filter.price"
        assert "there are categories, year" in answer.json()["error"]["message"]

    def test_a_range_of_a_column(self, client):
        """In every mode, beside another condition, and of what an item is like; /explain names bound and value."""
        asked = {"year": {"gte": 1995, "lt": 2005}, "categories": ["drama"]}
        for mode in ("auto", "batch", "hybrid", "realtime"):
            answer = ask(client, "/recommend", user_id=USER, k=20, filter=asked, mode=mode)
            assert {int(item.removeprefix("drama-")) for item in ids(answer)} == {*range(5, 15)}
            assert "filter" not in answer["removed"]
        likes = ids(ask(client, "/similar", item_id="drama-3", k=20, filter={"year": {"gt": 2012}}))
        assert sorted(likes) == sorted(f"{name}-{number}" for name in tiny.CATEGORIES for number in (23, 24))
        told = ask(client, "/explain", user_id=USER, item_id="drama-20", filter=asked)
        assert told["dropped_by"] == "filter"
        assert told["reason"] == "The request's filter wants year >= 1995 and < 2005, and the item's year is 2010."


class TestSimilar:
    def test_the_likest_share_the_category(self, client):
        """Never the item itself, each once, the best first."""
        answer = ask(client, "/similar", item_id="drama-3", k=10)
        assert len(set(ids(answer))) == 10
        assert "drama-3" not in ids(answer)
        assert sum(item.startswith("drama") for item in ids(answer)) >= 8
        scores = [item["score"] for item in answer["items"]]
        assert scores == sorted(scores, reverse=True)

    def test_for_a_user_without_what_was_seen(self, client, tiny_world):
        """The dataset excludes what was seen, and so do these."""
        folder, log = tiny_world
        seen = {folder.tables().ids[int(row)] for row in log.items[log.users == USER]}
        some = next(iter(seen))
        answer = ask(client, "/similar", item_id=some, user_id=int(log.user_ids[USER]), k=60)
        assert not seen & set(ids(answer))

    def test_an_item_that_is_none(self, client):
        """404, with the field."""
        answer = client.post("/similar", json={"item_id": "opera-1"})
        assert answer.status_code == 404
        assert answer.json()["error"]["field"] == "item_id"


def brute(folder, log, user, now):
    """Candidates, features and scores of a user as training computes them, with nothing of the service between."""
    everybody = replace(log.final_histories(np.arange(len(log.user_ids))), now=np.full(len(log.user_ids), now))
    everybody.context[:] = 0
    everybody.context[:, : time_features.clock(everybody.now).shape[1]] = time_features.clock(everybody.now)
    past = everybody.take(np.array([user]))
    candidates = Retriever.load(folder).retrieve(past)
    return past, candidates, features.build(folder.tables(), past, candidates)[0]


class TestExplain:
    def test_a_kept_item_against_a_recomputation(self, quiet, tiny_world):
        """Place, scores, and each feature's contribution: what the net's score loses with its mean in its place."""
        folder, log = tiny_world
        body = {"user_id": int(log.user_ids[USER]), "k": 8}
        slate = ask(quiet, "/recommend", **body)
        told = ask(quiet, "/explain", item_id=ids(slate)[2], **body)
        assert (told["place"], told["dropped_by"]) == (3, None)
        assert told["score"] == pytest.approx(slate["items"][2]["score"], abs=2e-3)
        _, candidates, rows = brute(folder, log, USER, time.time())
        net = RankerNet.load(folder.path / RANKER)
        at = candidates.items[0].tolist().index(folder.tables().ids.row_of(told["item_id"]))
        x = torch.from_numpy(rows[at])
        with torch.inference_mode():
            whole = float(net(x))
            for feature in told["features"]:
                place = features.FEATURES.index(feature["name"])
                without = x.clone()
                without[place] = net.mean[place]
                assert feature["value"] == pytest.approx(float(x[place]), abs=1e-3)
                assert feature["contribution"] == pytest.approx(whole - float(net(without)), abs=5e-3)
        assert len(told["features"]) == len(features.FEATURES)

    def test_one_that_is_too_far_down(self, quiet, tiny_world):
        """Its places by the tower among all items and by the ranker among the candidates."""
        folder, log = tiny_world
        user = int(log.user_ids[USER])
        far = ids(ask(quiet, "/recommend", user_id=user, k=30))[25]
        told = ask(quiet, "/explain", user_id=user, item_id=far, k=5)
        assert (told["place"], told["dropped_by"], told["ranked_place"]) == (None, "ranking", 26)
        past, _, _ = brute(folder, log, USER, time.time())
        vector = Retriever.load(folder)._encoder.encode(past)[0]
        all_scores = folder.tables().embeddings @ vector
        mine = all_scores[folder.tables().ids.row_of(far)]
        assert told["tower_score"] == pytest.approx(float(mine), abs=1e-3)
        assert abs(told["tower_place"] - int((all_scores > mine).sum()) - 1) <= 1

    def test_ones_that_filters_took(self, quiet, tiny_world):
        """Seen, excluded, of another category: each by its filter's name."""
        folder, log = tiny_world
        user = int(log.user_ids[USER])
        seen = folder.tables().ids[int(log.items[log.users == USER][0])]
        assert ask(quiet, "/explain", user_id=user, item_id=seen)["dropped_by"] == "seen"
        best = ids(ask(quiet, "/recommend", user_id=user))[0]
        assert ask(quiet, "/explain", user_id=user, item_id=best, exclude=[best])["dropped_by"] == "excluded"
        other = "drama" if not best.startswith("drama") else "comedy"
        told = ask(quiet, "/explain", user_id=user, item_id=best, filter={"categories": [other]})
        assert told["dropped_by"] == "filter"


class TestUsers:
    def test_what_is_stored(self, client):
        """The generation's history and what was sent since."""
        before = client.get(f"/users/{USER}").json()
        assert before["known"]
        assert len(before["history"]) == before["seen"] > 0
        assert before["history"][0]["title"].startswith("The ")
        ask(client, "/events", user_id="stored", item_id="drama-1", event_type="click", event_id="e-1")
        told = client.get("/users/stored").json()
        assert not told["known"]
        assert [event["item_id"] for event in told["events"]] == ["drama-1"]

    def test_an_event_keeps_its_context(self, client):
        """As it was sent; of an event without one it is empty."""
        events = [{"user_id": "in context", "item_id": f"drama-{n}"} for n in (1, 2)]
        ask(client, "/events", events=[events[0] | {"context": {"device": "mobile"}}, events[1]])
        told = client.get("/users/in%20context").json()["events"]
        assert [event["context"] for event in told] == [{"device": "mobile"}, {}]
        assert ask(client, "/recommend", user_id="in context")["history"] == 2

    def test_an_event_with_an_id_counts_once(self, client):
        """Sent again, it is no new one."""
        event = {"user_id": "once", "item_id": "drama-1", "event_id": "e-1"}
        assert ask(client, "/events", events=[event])["stored"] == 1
        assert ask(client, "/events", **event)["stored"] == 0
        assert ask(client, "/recommend", user_id="once")["history"] == 1

    def test_an_impression_is_no_history(self, client):
        """What was shown is not what was done."""
        ask(client, "/events", user_id="shown", item_id="drama-1", event_type="impression")
        assert ask(client, "/recommend", user_id="shown")["history"] == 0

    def test_forgotten_from_every_key(self, client, embedded_url):
        """No byte of the id in the whole store; the next request is a stranger's."""
        user = "somebody/with a 💜 name-0123456789abcdef"
        ask(client, "/events", user_id=user, item_id="drama-1", event_id="x")
        ask(client, "/events", user_id=user, item_id="drama-2", event_type="impression")
        assert ask(client, "/recommend", user_id=user)["history"] == 1
        path = "/users/" + quote(user, safe="")
        assert len(client.get(path).json()["events"]) == 1
        assert client.delete(path).json() == {"user_id": user, "forgotten": True}
        with redis.Redis.from_url(embedded_url) as store:
            for key in store.scan_iter():
                assert b"0123456789abcdef" not in key
                if store.type(key) == b"stream":
                    assert b"0123456789abcdef" not in repr(store.xrange(key)).encode()
        assert ask(client, "/recommend", user_id=user)["history"] == 0  # last: it is an impression of this user again


class TestMerge:
    def test_a_login_takes_over_what_was_done_before_it(self, client, embedded_url):
        """The next slate knows it, the answer to the same request is the same, and the visitor's own keys are gone."""
        visitor, login = "visitor-before-the-login-0123456789abcdef", "after the login"
        sent = [{"user_id": visitor, "item_id": f"drama-{n}", "event_id": f"e{n}"} for n in (1, 2)]
        ask(client, "/events", events=[*sent, {"user_id": login, "item_id": "comedy-1"}])
        merged = {"user_id": visitor, "into": login, "events": 3}
        path = f"/users/{visitor}/merge"
        assert ask(client, path, into=login) == merged
        answer = ask(client, "/recommend", user_id=login)
        assert answer["history"] == 3
        assert not {"drama-1", "drama-2", "comedy-1"} & set(ids(answer))
        assert set(left_of(embedded_url, visitor)) <= {b"events", b"impressions"}  # swept within a minute
        assert ask(client, path, into=login) == merged
        assert ask(client, "/events", events=[each | {"user_id": login} for each in sent])["stored"] == 0
        assert ask(client, "/recommend", user_id=login)["history"] == 3

    def test_what_the_generation_was_trained_on_goes_along(self, client, published, embedded_url):
        """Of the last 90 days: a user of whom the generation alone knows becomes a login with that history."""
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
        assert ask(client, f"/users/{user}/merge", into="login of trained")["events"] == 2
        told = client.get("/users/login%20of%20trained").json()
        assert [event["item_id"] for event in told["events"]] == [event["item_id"] for event in past[1:]]
        assert not client.get(f"/users/{user}").json()["known"]

    @pytest.mark.parametrize("visitor", ["a/b", "ann\n", "../x", "x/merge", "merge", "💜", "7 ?#%"])
    def test_whom_an_odd_path_names(self, client, visitor):
        """To the last character."""
        ask(client, "/events", user_id=visitor, item_id="drama-1")
        path = "/users/" + quote(visitor, safe="").replace(".", "%2E") + "/merge"
        assert ask(client, path, into="odd")["user_id"] == visitor
        assert client.get(path.removesuffix("/merge")).json()["events"] == []
        for method in ("GET", "DELETE"):  # a slash that is not escaped is the verb's
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/users/7/merge", {"into": 7}, "into"),
            ("/users/7/merge", {"into": "7"}, "into"),
            ("/users/7/merge", {}, "into"),
            ("/users/7/merge", {"into": None}, "into"),
            ("/users/7/merge", {"into": ""}, "into"),
            ("/users/7/merge", {"into": "8", "user_id": "9"}, "user_id"),
            ("/users//merge", {"into": "8"}, "user_id"),
            ("/users/%ff/merge", {"into": "8"}, "user_id"),
        ],
    )
    def test_what_is_wrong_is_told(self, client, path, body, field):
        """422 with the field."""
        answer = client.post(path, json=body)
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == field

    def test_both_doors_merge_alike(self, deployment):
        """Over HTTP and over gRPC, by the client."""
        with Client(deployment.url) as web, Client(f"grpc://{deployment.grpc}") as rpc:
            for client, other in ((web, rpc), (rpc, web)):
                client.add_events([{"user_id": "anyone", "item_id": "drama-1", "timestamp": 1e9 + time.time() % 1e9}])
                assert client.merge("anyone", "somebody").events == other.merge("anyone", "somebody").events


def left_of(url, text):
    """Keys that name somebody, in the name or in a value."""
    readers = {
        b"string": lambda store, key: [store.get(key)],
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
    def test_a_visitor_gets_what_a_user_without_a_past_gets(self, quiet, session, mode):
        """The session counts alike, and mode batch gives what is popular."""
        wish = {"session": list(session), "k": 20, "mode": mode}
        visitor = ask(quiet, "/recommend", **wish)
        stranger = ask(quiet, "/recommend", user_id="without a past", **wish)
        assert visitor == stranger | {"user_id": None}
        assert (visitor["history"], len(visitor["items"])) == (len(session), 20)
        assert not {"drama-1", "drama-2"} & set(ids(visitor)) or not session

    def test_null_is_no_user(self, client):
        """A shop sends null before a login; a user called null is another."""
        assert ask(client, "/recommend", user_id=None, user_ids=None)["user_id"] is None
        assert ask(client, "/recommend", user_id="null")["user_id"] == "null"

    def test_unknown_items_of_the_session_are_named(self, client):
        """Each once, in the order of the session, in a slate and in its explanation; they are no history."""
        session = [{"item_id": item} for item in ("opera-1", "drama-1", 7, "opera-1")]
        answer = ask(client, "/recommend", session=session)
        assert (answer["unknown_items"], answer["history"]) == (["opera-1", 7], 1)
        told = ask(client, "/explain", item_id=ids(answer)[0], session=session)
        assert (told["place"], told["user_id"], told["unknown_items"]) == (1, None, ["opera-1", 7])
        assert ask(client, "/recommend", user_id=USER)["unknown_items"] == []


class TestDeadline:
    def test_too_short_a_time_gets_what_is_here(self, client):
        """Five milliseconds: a whole slate all the same, and what was left out is named."""
        answer = client.post("/recommend", json={"user_id": USER}, headers={"x-deadline-ms": "5"})
        assert answer.status_code == 200
        assert len(answer.json()["items"]) == 10
        assert "retrieval" in answer.json()["degraded"]

    @pytest.mark.parametrize("told", ["0", "-5", "1.5", "soon", "", "9" * 9])
    def test_what_is_no_time_is_told(self, client, told):
        """422, with the header's name."""
        answer = client.post("/recommend", json={"user_id": USER}, headers={"x-deadline-ms": told})
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == "x-deadline-ms"


def test_a_click_is_there_for_the_next_request(deployment):
    """Hundreds of times: sent over one connection, asked for over another."""

    def once(n):
        user = f"fast-{n}"
        with httpx.Client(base_url=deployment.url, timeout=30) as one, httpx.Client(base_url=deployment.url) as other:
            one.post("/events", json={"user_id": user, "item_id": f"drama-{n % 25}"}).raise_for_status()
            answer = other.post("/recommend", json={"user_id": user}, timeout=30).json()
        return answer["history"] == 1 and f"drama-{n % 25}" not in ids(answer)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(once, range(TIMES))) == TIMES


def test_a_merge_is_there_for_the_next_request(deployment, embedded_url):
    """Hundreds of times: what a visitor did is the login's once the merge is answered; soon no key has the visitors."""

    def once(n):
        visitor, login = f"merge-visitor-{n}", f"merge-login-{n}"
        with httpx.Client(base_url=deployment.url, timeout=60) as one, httpx.Client(base_url=deployment.url) as other:
            events = [{"user_id": visitor, "item_id": f"drama-{n % 25}"}, {"user_id": login, "item_id": "comedy-1"}]
            one.post("/events", json={"events": events}).raise_for_status()
            merged = one.post(f"/users/{visitor}/merge", json={"into": login}).raise_for_status().json()
            answer = other.post("/recommend", json={"user_id": login}, timeout=60).json()
            left = other.get(f"/users/{visitor}", timeout=60).json()["events"]
        return (merged["events"], answer["history"], left) == (2, 2, []) and f"drama-{n % 25}" not in ids(answer)

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(once, range(TIMES))) == TIMES
    end = time.monotonic() + 120
    while left_of(embedded_url, "merge-visitor-"):
        assert time.monotonic() < end
        time.sleep(1)

"""A deployment gives the slates, features and scores that training and the batch path compute of the same events."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
import redis

from recsys.generation.manifest import RANKER
from recsys.kernels.feature_kernels import FLAGS, RECENT
from recsys.lists.impression import Impression
from recsys.lists.user_record import UserRecord
from recsys.model import features
from recsys.model.history import assemble, stack
from recsys.model.ranker import Ranker, RankerNet
from recsys.retrieval.retriever import Retriever
from recsys.store import RedisFlowStore, RedisGenerationStore
from recsys.types import Candidates, Histories, Mode
from service.backends.count_follower import POLL_SECONDS
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from training.advisor.replay import Replay
from training.encode.interaction_log import DAY
from training.judge.replay import ReplayedModel
from training.judge.replayed_queries import ReplayedQueries

REQUESTS, AT_ONCE = 300, 8
USERS = 200
"""Of the slates in each mode."""

ITEMS, ASKING = 10, 20
"""Items with events, and users of slates, in the test of counts."""


@pytest.fixture(scope="module")
def running(tiny_world, own_valkey_url, tmp_path_factory):
    """A deployment that logs all slates."""
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    home = tmp_path_factory.mktemp("replay")
    settings = {"TANDEM_IMPRESSIONS_PER_SECOND": "1000000", "TANDEM_DEADLINE_MS": "10000"}
    with Deployment(home, home / "service.log", REDIS_URL=own_valkey_url, **settings) as deployment:
        yield deployment


@pytest.fixture
def store(running, tiny_world, own_valkey_url):
    """The store of the deployment, with the generation and nothing else."""
    with redis.Redis.from_url(own_valkey_url) as client:
        counted = client.keys("events:*:*")
        client.flushall()
    tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    if counted:
        time.sleep(2 * POLL_SECONDS)  # until the deployment has read that the counts are gone
    store = RedisFlowStore(own_valkey_url)
    yield store
    store.close()


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
    models = ReplayedModel.load(folder)
    made = Replay.of(ReplayedQueries(longer, at, longer.items[at], {}), models)
    nothing = dict.fromkeys(made.trending, [()] * USERS)  # the deployment has no flow of trending items
    return replace(made, known={**made.known, DAY: made.known[0.0] // 2}, trending=nothing)


def test_slates_of_200_users_are_those_that_the_advisor_replays(running, store, replay, tiny_world):
    """The same items in the same order in each mode, and other slates in each. The lists know half of each history."""
    lists, manifest = replay.lists(np.arange(USERS), DAY), tiny_world[0].manifest
    packed = {str(replay.queries.user_id(at)): each.pack() for at, each in enumerate(lists)}
    store.write_lists(manifest.id, manifest.user_buckets, packed)
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


def logged(store, start, count):
    """The slates that were asked for since a moment; waits 20 s for so many."""
    for _ in range(40):
        entries = store.read_impressions(count=100_000)
        shown = [each for each in (Impression.unpack(entry.data) for entry in entries) if each.asked >= start]
        if len(shown) >= count:
            break
        time.sleep(0.5)
    return shown


def ask(url, user):
    """Request a slate in a context; users with odd ids click first. Return whether the slate knew the click."""
    with httpx.Client(base_url=url, timeout=30) as client:
        if user % 2:
            event = {"user_id": user, "item_id": f"drama-{user % 25}", "event_type": "interaction"}
            client.post("/events", json=event).raise_for_status()
        body = {"user_id": user, "k": 10, "context": {"device": tiny.DEVICES[user % 2]}}
        answer = client.post("/recommend", json=body).raise_for_status().json()
        return "store" not in answer["degraded"]


def test_hundreds_of_requests_replayed(running, store, tiny_world, own_valkey_url):
    """Features and scores of logged slates equal recomputed ones up to rounding, which depends on the batch size."""
    folder = tiny_world[0]
    start = time.time()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        known = list(pool.map(lambda n: ask(running.url, n), range(REQUESTS)))
    shown = logged(store, start, REQUESTS)
    assert len(shown) >= 0.95 * REQUESTS  # without ranking, on a busy machine, a slate has no features to log
    tables, spec, manifest = folder.tables(), folder.spec(), folder.manifest
    retriever, ranker = Retriever.load(folder), Ranker(RankerNet.load(folder.path / RANKER), tables)
    users = [str(impression.user_id) for impression in shown]
    records = RedisGenerationStore(own_valkey_url).read_records(manifest.id, manifest.user_buckets, users)
    events = store.read_events(users)
    histories = [
        assemble(
            UserRecord.unpack(record),
            since,
            lambda items: tables.ids.rows_of([*map(str, items)]),
            spec.type_row,
        )
        for record, since in zip(records, events, strict=True)
    ]
    contexts = [spec.encode_context({"device": tiny.DEVICES[int(user) % 2]}) for user in users]
    compared = 0
    for start in range(0, len(shown), 50):
        some = slice(start, start + 50)
        past = stack(histories[some], [impression.asked for impression in shown[some]], contexts[some])
        candidates = retriever.retrieve(past)
        recomputed, scores = ranker.features_and_scores(past, candidates)
        for row, impression in enumerate(shown[some]):
            if not known[int(impression.user_id)]:
                continue  # the store was late, so that the slate had no history
            place = {int(item): at for at, item in enumerate(candidates.items[row])}
            at = [place[tables.ids.row_of(str(item))] for item in impression.items]
            assert np.allclose(impression.features, recomputed[row, at], rtol=1e-4, atol=1e-5)
            assert np.allclose(impression.scores, scores[row, at], rtol=1e-3, atol=1e-3)
            compared += len(at)
    assert compared >= 9 * REQUESTS * 0.95


class Shop:
    """A deployment, and the events that were sent to it."""

    def __init__(self, url, log):
        self.client = httpx.Client(base_url=url, timeout=30)
        self.log, self.ids = log, [*map(str, log.catalogue.ids)]
        self.random, self.moments, self.rows = np.random.default_rng(7), [], []

    def send(self, ages):
        """Send an event of each age, in seconds, with one of ITEMS items."""
        rows = self.random.integers(0, ITEMS, len(ages)).tolist()
        moments = [time.time() - age for age in ages]
        events = [
            {"user_id": 1_000 + n, "item_id": self.ids[row], "timestamp": moment, "event_type": "interaction"}
            for n, (row, moment) in enumerate(zip(rows, moments, strict=True))
        ]
        self.client.post("/events", json={"events": events}).raise_for_status()
        self.moments += moments
        self.rows += rows

    def ask(self):
        """Request a slate for each of ASKING users."""
        for user in range(ASKING):
            self.client.post("/recommend", json={"user_id": user, "k": 20}).raise_for_status()

    def trained(self):
        """The events as a training has them."""
        order, none = np.argsort(self.moments, kind="stable"), np.zeros(len(self.rows), np.int32)
        times, items = np.array(self.moments)[order], np.array(self.rows, np.int32)[order]
        return replace(self.log, users=none, items=items, times=times, types=none.astype(np.uint8)).recent_events


@pytest.mark.parametrize("seconds", [0, pytest.param(150, marks=pytest.mark.slow)])
def test_logged_counts_are_those_of_a_training(running, store, tiny_world, seconds):
    """To the bit, for events of a day that arrive late, and for 150 seconds of events in which minutes end."""
    shop, tables = Shop(running.url, tiny_world[1]), tiny_world[0].tables()
    shop.send([*np.exp(shop.random.uniform(0, np.log(1.1 * DAY), 400)), *np.linspace(0, 120, 100)])
    time.sleep(2 * POLL_SECONDS)
    start = time.time()  # a late event is no part of earlier slates
    shop.ask()
    while time.time() < start + seconds:
        shop.send([0.0] * 5)
        shop.ask()
        time.sleep(2)
    recent, most = shop.trained(), 0.0
    time.sleep(2)
    slates = logged(store, start, ASKING)
    assert len(slates) >= 0.95 * ASKING  # without ranking, on a busy machine, a slate has no features
    for slate in slates:
        items = np.array([[shop.ids.index(str(item)) for item in slate.items]], np.int32)
        candidates = Candidates(items, np.zeros(items.shape, np.float32), np.zeros(items.shape, np.uint16))
        past = Histories.empty(np.array([slate.asked]))
        expected = features.build(tables, past, candidates, recent)[0, :, RECENT:FLAGS]
        np.testing.assert_array_equal(slate.features[:, RECENT:FLAGS], expected)
        most = max(most, expected[:, 0].max())
    assert most > 1

"""Serving, training and the batch path compute the same histories, hidden items, features and scores."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
import redis

from recsys.generation.manifest import RANKER
from recsys.lists.impression import Impression
from recsys.lists.user_record import UserRecord
from recsys.model.history import assemble, stack
from recsys.model.ranker import Ranker, RankerNet
from recsys.retrieval.retriever import Retriever
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.store import RedisFlowStore, RedisGenerationStore
from recsys.store.memory.memory_store import MemoryStore
from recsys.store.stored_types import UserState
from recsys.types import PAD, Event
from service.recommend.stages import UserHydrator
from tests.sample_data import tiny
from tests.servers.deployment import Deployment

REQUESTS, AT_ONCE = 300, 8


@pytest.fixture(scope="module")
def world(tiny_world, own_valkey_url, tmp_path_factory):
    """A deployment that logs all slates."""
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    home = tmp_path_factory.mktemp("replay")
    with Deployment(
        home, home / "service.log", REDIS_URL=own_valkey_url, TANDEM_IMPRESSIONS_PER_SECOND="1000000"
    ) as running:
        yield running, own_valkey_url


def ask(url, user):
    """Request a slate in a context; users with odd ids click first. Return whether the slate knew the click."""
    with httpx.Client(base_url=url, timeout=30) as client:
        if user % 2:
            event = {"user_id": user, "item_id": f"drama-{user % 25}", "event_type": "interaction"}
            client.post("/events", json=event).raise_for_status()
        body = {"user_id": user, "k": 10, "context": {"device": tiny.DEVICES[user % 2]}}
        answer = client.post("/recommend", json=body).raise_for_status().json()
        return "store" not in answer["degraded"]


def test_hundreds_of_requests_replayed(world, tiny_world):
    """Features and scores of logged slates equal recomputed ones up to rounding, which depends on the batch size."""
    (running, url), folder = world, tiny_world[0]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        known = list(pool.map(lambda n: ask(running.url, n), range(REQUESTS)))
    store = RedisFlowStore(url)
    entries = []
    for _ in range(40):
        entries = store.read_impressions(count=REQUESTS + 1)
        if len(entries) >= REQUESTS:
            break
        time.sleep(0.5)
    shown = [Impression.unpack(entry.data) for entry in entries]
    assert len(shown) >= 0.95 * REQUESTS  # without ranking, on a busy machine, a slate has no features to log
    tables, spec, manifest = folder.tables(), folder.spec(), folder.manifest
    retriever, ranker = Retriever.load(folder), Ranker(RankerNet.load(folder.path / RANKER), tables)
    users = [str(impression.user_id) for impression in shown]
    records = RedisGenerationStore(url).read_records(manifest.id, manifest.user_buckets, users)
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
        features, scores = ranker.features_and_scores(past, candidates)
        for row, impression in enumerate(shown[some]):
            if not known[int(impression.user_id)]:
                continue  # the store was late, so that the slate had no history
            place = {int(item): at for at, item in enumerate(candidates.items[row])}
            at = [place[tables.ids.row_of(str(item))] for item in impression.items]
            assert np.allclose(impression.features, features[row, at], rtol=1e-4, atol=1e-5)
            assert np.allclose(impression.scores, scores[row, at], rtol=1e-3, atol=1e-3)
            compared += len(at)
    assert compared >= 9 * REQUESTS * 0.95
    store.close()


def test_a_shop_s_log_replayed(tiny_shop):
    """Before each event after a generation's data, with event types, refunds and an exclude_seen of types and days."""
    folder, log = tiny_shop
    served, spec = ServedGeneration.load(folder), folder.spec()
    hydrator = UserHydrator(MemoryStore())
    retriever, ranker = Retriever.load(folder), Ranker.load(folder)
    ids, blobs = folder.users()
    packed = {ids[row]: blobs.bytes_at(row) for row in range(len(ids))}
    later = np.flatnonzero(log.times > folder.manifest.data_end)
    queries, since = [], {}
    for at in later.tolist():
        user, event_type = str(log.user_ids[log.users[at]]), spec.event_types[log.types[at]]
        query = Query(served, user, 10, 0.0, now=float(log.times[at]))
        hydrator.put(query, UserState(packed.get(user), list(since.get(user, ())), False, None))
        queries.append(query)
        since.setdefault(user, []).append(Event(user, served.item_id(log.items[at]), query.now, event_type))
    assert {"view", "purchase", "refund"} == {event.event_type for of_user in since.values() for event in of_user}

    trained = log.histories(later)
    ours = stack([query.history for query in queries], [query.now for query in queries])
    ours = replace(ours, context=trained.context)
    assert np.array_equal(ours.items, trained.items)
    real = ours.items != PAD
    assert np.array_equal(ours.times[real], trained.times[real])
    assert np.array_equal(ours.types[real], trained.types[real])
    place, hidden = log.seen_before(later)
    for row, query in enumerate(queries):
        assert set(query.seen.tolist()) == set(hidden[place == row].tolist())
    assert len(hidden)
    assert any(len(query.past[0]) > len(query.history[0]) > 0 for query in queries)
    for start in range(0, len(later), 64):
        some = slice(start, start + 64)
        candidates = retriever.retrieve(trained.take(some))
        assert np.array_equal(
            ranker.features_and_scores(ours.take(some), candidates)[0],
            ranker.features_and_scores(trained.take(some), candidates)[0],
        )

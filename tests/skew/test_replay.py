"""What was computed for requests under load is what the batch path computes: features and scores of 1,000 slates."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import redis

from recsys.generation import RANKER
from recsys.history import assemble, stack
from recsys.impression import Impression
from recsys.ranker import Ranker, RankerNet
from recsys.record import UserRecord
from recsys.retriever import Retriever
from recsys.store import RedisFlowStore, RedisGenerationStore
from tests import tiny
from tests.deployment import Deployment

REQUESTS, AT_ONCE = 1_000, 8


@pytest.fixture(scope="module")
def world(tiny_world, own_valkey_url, tmp_path_factory):
    """A deployment that logs every slate."""
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    home = tmp_path_factory.mktemp("replay")
    with Deployment(
        home, home / "service.log", REDIS_URL=own_valkey_url, TANDEM_IMPRESSIONS_PER_SECOND="1000000"
    ) as running:
        yield running, own_valkey_url


def ask(url, user):
    """A slate in a context, for a user of whom half clicked something before; whether what they did was known to it."""
    with httpx.Client(base_url=url, timeout=30) as client:
        if user % 2:
            event = {"user_id": user, "item_id": f"drama-{user % 25}", "event_type": "interaction"}
            client.post("/events", json=event).raise_for_status()
        body = {"user_id": user, "k": 10, "context": {"device": tiny.DEVICES[user % 2]}}
        answer = client.post("/recommend", json=body).raise_for_status().json()
        return "store" not in answer["degraded"]


def test_a_thousand_requests_replayed(world, tiny_world):
    """Each slate's features and scores, but for the last bits, which batches of other sizes may round."""
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
    assert len(shown) == REQUESTS
    tables, spec, manifest = folder.tables(), folder.spec(), folder.manifest
    retriever, ranker = Retriever.load(folder), Ranker(RankerNet.load(folder.path / RANKER), tables)
    users = [str(told.user_id) for told in shown]
    records = RedisGenerationStore(url).read_records(manifest.id, manifest.user_buckets, users)
    events = store.read_events(users)
    rows = tables.ids.rows
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
    for start in range(0, REQUESTS, 50):
        some = slice(start, start + 50)
        past = stack(histories[some], [told.asked for told in shown[some]], contexts[some])
        candidates = retriever.retrieve(past)
        features, scores = ranker.features_and_scores(past, candidates)
        for row, told in enumerate(shown[some]):
            if not known[int(told.user_id)]:
                continue  # on a busy machine a read may be late: the slate was made without a history
            place = {int(item): at for at, item in enumerate(candidates.items[row])}
            at = [place[rows[str(item)]] for item in told.items]
            assert np.allclose(told.features, features[row, at], rtol=1e-4, atol=1e-5)
            assert np.allclose(told.scores, scores[row, at], rtol=1e-3, atol=1e-3)
            compared += len(at)
    assert compared >= 9 * REQUESTS * 0.95
    store.close()

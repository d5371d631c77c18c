"""Admission, circuit breakers and metrics of every verb that needs a model, in a deployment whose retrieval hangs."""

import os
import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from recsys.lists.user_list import UserList
from recsys.store import RedisFlowStore
from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
from service.schema import verb_table
from tests.sample_data import tiny
from tests.servers.both_doors import OK, BothDoors
from tests.servers.deployment import Deployment, wait_for, workers

SECONDS = 10.0
"""The deadline of a request, long beside the time of an answer on busy cores."""

TRAFFIC = (
    *("degraded_total", "removed_total", "user_reads_total", "stage_failures_total", "lists_total"),
    *("batch_queries_count", "stage_seconds_count", "slate_seconds_count", "slate_length_count"),
)
"""The metrics that count slates and the calls that make them."""

SIMILAR = verb_table.SIMILAR, {"item_id": "drama-1"}
EXPLAIN = verb_table.EXPLAIN, {"user_id": "guarded", "item_id": "drama-1", "mode": "realtime"}
RANK = verb_table.RANK, {"user_id": "guarded", "items": ["drama-1", "drama-2"]}
LISTED = 5
SLATE = {"user_id": "guarded", "mode": "realtime"}


@pytest.fixture(scope="module")
def running(tiny_world, tmp_path_factory):
    """A deployment that makes one slate at a time."""
    folder = tmp_path_factory.mktemp("guarded")
    store = EmbeddedValkey(folder / "store")
    url = store.ensure()
    live, rows = tiny.publish(tiny_world[0], RedisGenerationStore(url)), np.arange(24, dtype=np.int32)
    listed = UserList(time.time(), 0, rows, np.zeros(24, np.uint16), np.zeros(24, np.float32)).pack()
    RedisFlowStore(url).write_lists(live, tiny_world[0].manifest.user_buckets, {str(LISTED): listed})
    limits = {"TANDEM_DEADLINE_MS": str(int(1000 * SECONDS)), "TANDEM_MAX_UNDER_WAY": "1"}
    with Deployment(folder / "home", folder / "log", REDIS_URL=url, **limits) as deployment:
        yield deployment
    store.stop()


@pytest.fixture
def client(running):
    with httpx.Client(base_url=running.url, timeout=60) as opened:
        yield opened


@contextmanager
def retrieval_hangs(running):
    """Stop the processes of retrieval, and continue them at the end."""
    stopped = workers(running, "Retrieval")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def away(client):
    return client.get("/status").json()["away"]


def counts(client):
    """The sum of each metric of TRAFFIC over its labels."""
    lines = re.findall(r"^tandem_(\w+)(?:\{.*\})? (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return {name: sum(float(value) for each, value in lines if each == name) for name in TRAFFIC}


def ask(client, path, body, seconds=None):
    """The answer, and the seconds that it took. seconds: the deadline of the request, the default one for None."""
    headers = {} if seconds is None else {"x-deadline-ms": str(int(1000 * seconds))}
    start = time.monotonic()
    answer = client.post(path, json=body, headers=headers)
    return answer, time.monotonic() - start


def test_each_verb_that_needs_a_model_takes_a_place_and_is_refused_without_one(running, client):
    """While /similar waits for retrieval, which hangs, both doors refuse the other verbs, and the Explorer too."""
    doors = BothDoors(running)
    others = (SIMILAR, EXPLAIN, RANK)
    with ThreadPoolExecutor(1) as pool, retrieval_hangs(running):
        for verb, body in (SIMILAR, EXPLAIN):
            holding = pool.submit(ask, client, verb.path, body)
            wait_for(lambda: doors.http(RANK[0], b"{}").get("code") == "overloaded", SECONDS / 2)
            verdicts = [each["code"] for verb, body in others for each in doors.verdicts(verb, body)]
            refused = [client.post(path, json=body).status_code for path, body in (("/explorer/slate", SLATE),)]
            refused += [client.post(verb.path, json=body).status_code for verb, body in others]
            assert not holding.done()
            assert verdicts == ["overloaded"] * 6
            assert refused == [429] * 4
            assert holding.result()[0].json()["degraded"] == ["retrieval"]
    wait_for(lambda: away(client) == [])
    assert [each for verb, body in others for each in doors.verdicts(verb, body)] == [OK] * 6
    doors.close()


@pytest.mark.parametrize("opening", [SIMILAR, EXPLAIN])
def test_no_verb_waits_for_retrieval_that_is_known_to_be_away(running, client, opening):
    """After the failures that open its circuit breaker answers come at once and name retrieval; after its return they
    are whole. The probes that find the return count as no slate.
    """
    with retrieval_hangs(running):

        def is_away():
            ask(client, opening[0].path, opening[1], 1.0)
            return away(client) == ["retrieval"]

        wait_for(is_away)
        for path, body in (("/similar", SIMILAR[1]), ("/explain", EXPLAIN[1]), ("/recommend", SLATE)):
            answer, seconds = ask(client, path, body)
            assert answer.json()["degraded"] == ["retrieval"], path
            assert seconds < SECONDS / 4, path
        answer, seconds = ask(client, "/explorer/slate", SLATE)
        assert answer.json()["slate"]["degraded"] == ["retrieval"]
        assert seconds < SECONDS / 4
        before = counts(client)
    wait_for(lambda: away(client) == [])
    assert counts(client) == before
    assert [ask(client, verb.path, body)[0].json()["degraded"] for verb, body in (SIMILAR, EXPLAIN)] == [[], []]


def test_under_overload_a_user_with_a_list_gets_an_answer_that_says_so(running, tiny_world):
    """A visitor, who has no list, is refused while the deployment makes one slate at a time."""

    def send(body):
        answer = client.post("/recommend", json=body)
        return answer.status_code, answer.json()

    bodies = [{"user_id": LISTED, "mode": "realtime"}, {"session": [{"item_id": "drama-1"}]}] * 150
    with httpx.Client(base_url=running.url, timeout=30) as client, ThreadPoolExecutor(24) as pool:
        found = list(pool.map(send, bodies))
    of_user, of_visitors = found[::2], found[1::2]
    assert {status for status, _ in of_user} == {200}
    shown = Counter((answer["mode"], *answer["degraded"]) for _, answer in of_user)
    assert shown["batch", "overload"] > 0
    assert {status for status, _ in of_visitors} == {200, 429}
    listed = {tiny_world[0].tables().ids[row] for row in range(24)}
    for _, answer in of_user:
        if "overload" in answer["degraded"]:
            assert {item["item_id"] for item in answer["items"]} <= listed
            assert answer["freshness"]["list"] is not None
    text = httpx.get(f"{running.url}/metrics").text
    assert 'tandem_degraded_total{stage="overload",surface="default"}' in text

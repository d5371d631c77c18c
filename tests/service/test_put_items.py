"""Items put into a running deployment: recommended, renamed and hidden without a new generation, in every process."""

import asyncio
import contextlib
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import redis

from recsys.items import Put
from recsys.store.embedded import EmbeddedStore
from recsys.store.items import RedisItemWriter
from recsys.store.redis import RedisGenerationStore
from tests import tiny
from tests.deployment import Deployment, descendants
from training import dataset
from training.export import export
from training.log import encode
from training.recipe import train

PATIENCE = 30.0
"""Seconds until a poll gives up: what is measured is printed, and no machine is so slow."""

FAN = 4
"""A user of comedies; tests/tiny.py."""


@pytest.fixture(scope="module", params=["split", "inline"])
def running(request, tiny_world, tmp_path_factory):
    """A deployment with two workers of each service, and a store of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    store = EmbeddedStore(folder / "store")
    url = store.ensure()
    tiny.publish(tiny_world[0], RedisGenerationStore(url))
    workers = dict.fromkeys(("TANDEM_GATEWAY_WORKERS", "TANDEM_RETRIEVAL_WORKERS", "TANDEM_RANKING_WORKERS"), "2")
    with Deployment(
        folder / "home", folder / "log", REDIS_URL=url, TANDEM_TOPOLOGY=request.param, **workers
    ) as deployment:
        yield deployment
    store.stop()


@pytest.fixture(scope="module")
def client(running):
    # A connection a request: requests then reach both workers of the gateway.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=running.url, timeout=30, limits=limits) as opened:
        yield opened


def put(client, *items):
    answer = client.put("/items", json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def recommend(client, user=FAN, **more):
    answer = client.post("/recommend", json={"user_id": user, "k": 100, **more})
    assert answer.status_code == 200, answer.text
    return {item["item_id"]: item for item in answer.json()["items"]}, answer.json()


def poll(what, holds, times=8):
    """Until `holds` is true `times` times in a row, which asks every worker; prints when it was first so for good."""
    start = time.monotonic()
    row, since = 0, start
    while row < times:
        assert time.monotonic() - start < PATIENCE, f"{what}: not so after {PATIENCE} s"
        if holds():
            since = since if row else time.monotonic()
            row += 1
        else:
            row = 0
    print(f"\n{what}: {since - start:.3f} s")  # noqa: T201 - the figure of the acceptance line


def comedy(item_id, **more):
    return {
        "item_id": item_id,
        "title": f"A new {item_id}",
        "categories": ["comedy"],
        "columns": {"year": 2005},
        **more,
    }


def test_an_item_put_is_recommended(client):
    """To who likes its category, with its title and its sources, by every worker."""
    assert put(client, comedy("fresh-1")) == {"stored": 1, "new": 1, "known": 0, "unplaced": []}
    poll("put to recommended", lambda: "fresh-1" in recommend(client)[0])
    items, answer = recommend(client)
    assert answer["degraded"] == []
    assert items["fresh-1"]["title"] == "A new fresh-1"
    assert "fresh" in items["fresh-1"]["sources"]
    assert items["fresh-1"]["tower_score"] is not None


def test_it_is_for_those_who_like_its_category(client):
    """The tower places it by content alone: it stands before the drama that was put with it."""
    put(client, comedy("funny"), {"item_id": "sad", "categories": ["drama"], "columns": {"year": 2005}})
    poll("both recommended", lambda: {"funny", "sad"} <= recommend(client)[0].keys())
    items, _ = recommend(client)
    assert items["funny"]["tower_score"] > items["sad"]["tower_score"]
    order = list(items)
    assert order.index("funny") < order.index("sad")


def test_a_click_on_it_counts(client):
    """In a session, in the stored history, in `exclude`, and as seen."""
    put(client, comedy("clicked"))
    poll("known", lambda: "clicked" in recommend(client)[0])
    items, answer = recommend(client, "passer-by", session=[{"item_id": "clicked"}])
    assert answer["history"] == 1
    assert "clicked" not in items
    assert sum(item.startswith("comedy") for item in list(items)[:10]) >= 5
    assert "clicked" not in recommend(client, exclude=["clicked"])[0]
    told = client.post("/events", json={"events": [{"user_id": "new user", "item_id": "clicked"}]})
    assert told.json() == {"stored": 1, "unknown_items": []}
    items, answer = recommend(client, "new user")
    assert answer["history"] == 1
    assert answer["degraded"] == []
    assert "clicked" not in items


@pytest.mark.parametrize(("item_id", "title"), [("comedy-3", "The comedy 3"), ("going", "A new going")])
def test_an_item_that_is_hidden_is_gone_and_comes_back(client, item_id, title):
    """One of the generation's and a fresh one, from every answer; what was said of it before is not forgotten."""
    if item_id == "going":
        put(client, comedy("going"))
        poll("put to recommended", lambda: "going" in recommend(client, "stranger")[0])
    assert item_id in recommend(client, "stranger")[0]
    put(client, {"item_id": item_id, "available": False})
    poll(f"{item_id} hidden", lambda: item_id not in recommend(client, "stranger")[0], 30)
    put(client, {"item_id": item_id, "available": True})
    poll(f"{item_id} shown again", lambda: item_id in recommend(client, "stranger")[0])
    assert recommend(client, "stranger")[0][item_id]["title"] == title


def test_an_item_is_renamed(client):
    """One that the generation knows keeps its row and its content."""
    before = recommend(client, "stranger")[0]["drama-2"]
    assert put(client, {"item_id": "drama-2", "title": "The drama, renamed"})["known"] == 1
    poll("renamed", lambda: recommend(client, "stranger")[0]["drama-2"]["title"] == "The drama, renamed")
    after = recommend(client, "stranger")[0]["drama-2"]
    assert after["tower_score"] == before["tower_score"]


def test_status_and_metrics_count_them(client):
    """How many are beside the index and how many are hidden."""
    put(client, comedy("counted"), {"item_id": "drama-9", "available": False})
    poll("counted", lambda: client.get("/status").json()["hidden_items"] >= 1)
    status = client.get("/status").json()
    assert status["fresh_items"] >= 1
    text = client.get("/metrics").text
    for name in ("tandem_fresh_items", "tandem_hidden_items", 'tandem_items_put_total{kind="new"}'):
        assert name in text
    put(client, {"item_id": "drama-9", "available": True})


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({}, "item_id"),
        ({"item_id": None}, "item_id"),
        ({"item_id": True}, "item_id"),
        ({"item_id": 1.5}, "item_id"),
        ({"item_id": ""}, "item_id"),
        ({"item_id": "x" * 257}, "item_id"),
        ({"item_id": 10**30}, "item_id"),
        ({"item_id": "a", "titel": "x"}, "titel"),
        ({"item_id": "a", "title": 7}, "title"),
        ({"item_id": "a", "title": "x" * 513}, "title"),
        ({"item_id": "a", "categories": "comedy"}, "categories"),
        ({"item_id": "a", "categories": [1]}, "categories.0"),
        ({"item_id": "a", "categories": [""]}, "categories.0"),
        ({"item_id": "a", "categories": ["x"] * 33}, "categories"),
        ({"item_id": "a", "available": "false"}, "available"),
        ({"item_id": "a", "available": 0}, "available"),
        ({"item_id": "a", "columns": []}, "columns"),
        ({"item_id": "a", "columns": {"yaer": 1999}}, "columns.yaer"),
        ({"item_id": "a", "columns": {"categories": "comedy"}}, "columns.categories"),
        ({"item_id": "a", "columns": {"year": "1999"}}, "columns.year"),
        ({"item_id": "a", "columns": {"year": True}}, "columns.year"),
        ({"item_id": "a", "columns": {"year": None}}, "columns.year"),
        ({"item_id": "a", "columns": {"year": [1999]}}, "columns.year"),
        ({"item_id": "a", "columns": {"year": 10**30}}, "columns.year"),
        ({"item_id": "a", "columns": {str(n): 1 for n in range(33)}}, "columns"),
        ({"item_id": "a", "title": "x" * 512, "categories": ["y" * 256] * 16}, ""),
    ],
)
def test_a_wrong_item_is_told_its_field(client, item, field):
    """422, a sentence and the field; nothing of the request is stored."""
    answer = client.put("/items", json={"items": [comedy("beside-a-wrong-one"), item]})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["field"] == f"items.1.{field}".rstrip(".")
    assert error["message"].endswith(".")
    assert "constrained" not in answer.text
    assert "beside-a-wrong-one" not in recommend(client)[0]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "1" * 400])
def test_a_number_that_is_none_is_refused(client, value):
    """What parses as JSON in many places and is no number."""
    body = f'{{"items": [{{"item_id": "nan", "columns": {{"year": {value}}}}}]}}'
    answer = client.put("/items", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert json.loads(answer.content)["error"]["message"]


@pytest.mark.parametrize("body", [{"items": []}, {"items": [{"item_id": n} for n in range(1001)]}, {}, []])
def test_none_and_too_many_are_refused(client, body):
    """One to a thousand."""
    answer = client.put("/items", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].endswith(".")


def test_an_unknown_column_is_told_the_known_ones(client):
    """The sentence lists what the live generation has."""
    answer = client.put("/items", json={"items": [{"item_id": "a", "columns": {"yaer": 1}}]})
    assert "it has year" in answer.json()["error"]["message"]


def test_other_methods_are_refused(client):
    """With the one that is taken, and the document says so too."""
    wrong = client.post("/items", json={"items": [comedy("a")]})
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "PUT"
    assert "put" in client.get("/openapi.json").json()["paths"]["/items"]


def test_ids_of_any_kind_come_back_as_they_were_put(client):
    """Numbers as numbers, text as text, of any script, with blanks, braces and control characters."""
    ids = [7, -3, 2**63 - 1, " ", "a b", "{x}:y", "é\n\u0000", "🙂" * 60, "*", "items:version", "0007"]
    put(client, *(comedy(item_id, title="") for item_id in ids))
    poll("weird ids", lambda: {*ids} <= recommend(client)[0].keys())


def test_an_item_of_nothing_known_is_named(client):
    """Without a category or value of the vocabulary nobody is likely to be shown it; the answer says so."""
    answer = put(client, {"item_id": "opera", "categories": ["opera"]}, {"item_id": "bare"}, comedy("placed"))
    assert answer["unplaced"] == ["opera", "bare"]
    assert recommend(client, session=[{"item_id": "opera"}])[1]["degraded"] == []


def test_a_thousand_at_once(client):
    """The largest put, twice, and one of them hidden: stored, counted once, and answers go on whole."""
    many = [comedy(f"many-{n}", title="x" * 512) for n in range(1000)]
    assert put(client, *many)["new"] == 1000
    assert put(client, *many)["stored"] == 1000
    poll("a thousand", lambda: client.get("/status").json()["fresh_items"] >= 1000)
    put(client, *({"item_id": f"many-{n}", "available": False} for n in range(1000)))
    poll("a thousand hidden", lambda: not any(str(item).startswith("many") for item in recommend(client)[0]), 30)
    assert recommend(client)[1]["degraded"] == []


def test_sixty_at_once_put_the_same(client, running):
    """Concurrent puts of the same ids and answers meanwhile: no failure, nothing degraded, one item each."""

    async def storm():
        async with httpx.AsyncClient(base_url=running.url, timeout=60) as many:
            puts = [many.put("/items", json={"items": [comedy(f"storm-{n}") for n in range(20)]}) for _ in range(60)]
            asks = [many.post("/recommend", json={"user_id": FAN, "k": 100}) for _ in range(60)]
            return await asyncio.gather(*puts, *asks)

    answers = asyncio.run(storm())
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers[60:]:
        ids = [item["item_id"] for item in answer.json()["items"]]
        assert len(ids) == len(set(ids))
    storm_ids = {f"storm-{n}" for n in range(20)}
    poll("all of the storm", lambda: len(storm_ids & recommend(client)[0].keys()) >= 10)
    put(client, *({"item_id": item_id, "available": False} for item_id in storm_ids))
    poll("storm hidden", lambda: not storm_ids & recommend(client)[0].keys(), 30)


def test_a_worker_that_is_new_knows_them(client, running, tmp_path):
    """Killed workers come back, and every answer has the item and hides what is hidden."""
    put(client, comedy("lasting"), {"item_id": "action-1", "available": False})
    poll("known", lambda: "lasting" in recommend(client)[0])
    before = workers(running)
    victims = [before[0], before[-1]]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    poll("workers are back", lambda: len(workers(running)) >= len(before) and not {*victims} & {*workers(running)}, 1)

    def whole():
        try:
            items, answer = recommend(client)
        except (httpx.HTTPError, AssertionError):
            return False
        return not answer["degraded"] and "lasting" in items and "action-1" not in items

    poll("after a worker was killed", whole, 30)


def workers(running):
    """The deployment's workers."""
    found = []
    for pid in sorted(descendants(running.process.pid)):
        with contextlib.suppress(OSError):
            if b"_bentoml_impl.worker" in (Path("/proc") / str(pid) / "cmdline").read_bytes():
                found.append(pid)
    return found


def test_with_the_store_gone_what_is_known_stays(tiny_world, tmp_path):
    """Redis killed and back: hidden stays hidden, fresh stays, a put is a sentence with 503, and afterwards works."""
    store = EmbeddedStore(tmp_path / "store")
    url = store.ensure()
    tiny.publish(tiny_world[0], RedisGenerationStore(url))
    with (
        Deployment(tmp_path / "home", tmp_path / "log", REDIS_URL=url) as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):
        put(client, comedy("kept"), {"item_id": "comedy-3", "available": False})

        def whole():
            items, _ = recommend(client, "stranger")
            return "kept" in items and "comedy-3" not in items

        poll("known", whole)
        store.stop()
        for _ in range(10):
            assert whole()
        refused = client.put("/items", json={"items": [comedy("late")]})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "store"
        store = EmbeddedStore(tmp_path / "store")
        assert store.ensure() == url
        poll("put again", lambda: client.put("/items", json={"items": [comedy("late")]}).status_code == 200, 1)
        poll("recommended again", lambda: whole() and "late" in recommend(client, "stranger")[0])
        with redis.Redis.from_url(url) as behind:
            behind.flushdb()
        for _ in range(5):
            assert "comedy-3" not in recommend(client, "stranger")[0]
    store.stop()


@pytest.fixture(scope="module")
def next_generation(tmp_path_factory):
    """A generation trained when the item `premiere` was in the items table already, as nobody's yet."""
    folder = tmp_path_factory.mktemp("next")
    tiny.write(folder / "data", seed=1)
    with (folder / "data" / "items.csv").open("a") as table:
        table.write("premiere,The premiere,comedy,2005\n")
    log = encode(dataset.read(folder / "data"))
    config = replace(tiny.CONFIG, tower=replace(tiny.CONFIG.tower, epochs=4))
    return export(folder / "generations", log, train(log, config), config, "next")


def test_the_next_generation_takes_its_items_over(tiny_world, next_generation, tmp_path):
    """What it contains leaves the segment and keeps being recommended; what was hidden stays so; back again too."""
    store = EmbeddedStore(tmp_path / "store")
    url = store.ensure()
    generations = RedisGenerationStore(url)
    first = tiny.publish(tiny_world[0], generations)
    with (
        Deployment(tmp_path / "home", tmp_path / "log", REDIS_URL=url) as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):
        put(client, comedy("premiere"), comedy("encore"), {"item_id": "comedy-3", "available": False})

        def serves(generation, fresh):
            status = client.get("/status").json()
            items, answer = recommend(client, "stranger")
            return (
                (status["generation"], status["fresh_items"], answer["generation"]) == (generation, fresh, generation)
                and {"premiere", "encore"} <= items.keys()
                and "comedy-3" not in items
            )

        poll("put", lambda: serves(first, 2))
        second = tiny.publish(next_generation, generations)
        poll("the next generation", lambda: serves(second, 1))
        assert recommend(client, "stranger")[0]["premiere"]["title"] == "A new premiere"
        generations.promote(first)
        poll("the one before", lambda: serves(first, 2))
    store.stop()


def test_who_may_only_read_serves(tiny_world, tmp_path):
    """With a Redis user without rights to write, items put by another are followed; a put here is a sentence."""
    store = EmbeddedStore(tmp_path / "store")
    url = store.ensure()
    tiny.publish(tiny_world[0], RedisGenerationStore(url))
    with redis.Redis.from_url(url) as behind:
        behind.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "-@all", "+@read", "+@connection")
    reader = url.replace("://", "://reader:secret@", 1)
    with (
        Deployment(tmp_path / "home", tmp_path / "log", REDIS_URL=reader) as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):
        refused = client.put("/items", json={"items": [comedy("refused")]})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "store"
        assert refused.json()["error"]["message"].endswith(".")
        asyncio.run(put_by_another(url))
        poll("put by another", lambda: "from elsewhere" in recommend(client, "stranger")[0])
        assert "Traceback" not in running.log.read_text()
    store.stop()


async def put_by_another(url):
    writer = RedisItemWriter(url)
    await writer.put([Put("from elsewhere", "T", True, {"categories": ["comedy"]})])
    await writer.close()

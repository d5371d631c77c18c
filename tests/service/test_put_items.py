"""Items put into a running deployment: recommended, renamed and hidden without a new generation, in every process."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
from tandem_client import Client, NotFound
from tests.sample_data import tiny
from tests.servers.deployment import Deployment, descendants
from tests.service.putting import FAN, comedy, poll, put, recommend


@pytest.fixture(scope="module", params=["split", "inline"])
def running(request, tiny_world, tmp_path_factory):
    """A deployment with two workers of each service, and a store of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    store = EmbeddedValkey(folder / "store")
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


def test_an_item_put_is_recommended(client):
    """To who likes its category, with its title and its sources, by every worker."""
    assert put(client, comedy("fresh-1")) == {"stored": 1, "new": 1, "known": 0, "unplaced": [], "ignored_columns": []}
    # Until retrieval has heard of it, a gateway that has fills up a long slate with it, as what is popular.
    nowhere = {"sources": []}
    poll("put to recommended", lambda: "fresh" in recommend(client)[0].get("fresh-1", nowhere)["sources"])
    items, answer = recommend(client)
    assert answer["degraded"] == []
    assert items["fresh-1"]["title"] == "A new fresh-1"
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
    assert told.json() == {"stored": 1, "unknown_items": [], "unknown_types": [], "too_old": 0}
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


def test_columns_without_effect_are_named_at_both_doors(client, running):
    """Content sent for an item of the generation changes nothing; the answer names its columns."""
    items = [comedy("drama-6"), comedy("new-beside-known"), {"item_id": "drama-8", "available": True}]
    assert put(client, *items)["ignored_columns"] == ["year", "categories"]
    with Client(f"grpc://{running.grpc}") as rpc:
        assert rpc.put_items(items).ignored_columns == ["year", "categories"]
    assert put(client, *items[1:])["ignored_columns"] == []
    assert client.get("/items/drama-6").json()["categories"] == ["drama"]


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


def test_an_item_is_shown(client):
    """A put is there for the next GET, whichever process answers; an item of the generation has its tables' content."""
    for n in range(20):
        put(client, comedy(f"shown-{n}", available=False))
        told = client.get(f"/items/shown-{n}").json()
        assert told.pop("put_at") > 1.7e9
        assert told == {
            "item_id": f"shown-{n}",
            "generation": told["generation"],
            "title": f"A new shown-{n}",
            "categories": ["comedy"],
            "columns": {"year": 2005.0},
            "available": False,
            "known": False,
        }
    told = client.get("/items/drama-7").json()
    assert (told["title"], told["categories"], told["available"]) == ("The drama 7", ["drama"], True)
    assert (told["known"], told["put_at"], told["columns"]) == (True, None, {"year": 1997.0})
    put(client, {"item_id": "drama-7", "title": "Renamed", "available": False, "categories": ["comedy"]})
    told = client.get("/items/drama-7").json()
    assert (told["title"], told["categories"], told["available"]) == ("Renamed", ["drama"], False)
    assert client.delete("/items/drama-7").json()["forgotten"]


def test_what_was_put_is_forgotten(client):
    """An item of the generation is as its tables have it, one that a put alone made known is gone, in every process."""
    put(client, comedy("mistake"), {"item_id": "comedy-5", "title": "Renamed", "available": False})
    poll("put", lambda: "mistake" in recommend(client)[0] and "comedy-5" not in recommend(client, "stranger")[0])
    told = client.delete("/items/mistake").json()
    assert told == {"item_id": "mistake", "forgotten": True, "known": False}
    for _ in range(2):  # of a known item it may be sent again
        assert client.delete("/items/comedy-5").json()["known"]
    assert client.get("/items/comedy-5").json()["title"] == "The comedy 5"
    assert client.get("/items/mistake").status_code == 404
    shown = lambda: recommend(client, "stranger")[0].get("comedy-5", {"title": ""})["title"]  # noqa: E731
    poll("as before", lambda: "mistake" not in recommend(client)[0] and shown() == "The comedy 5", 30)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["/items/no%20such%20item", "/items/a/b", "/items/drama-1%0A", "/items/../x"])
def test_an_item_that_is_none(client, method, path):
    """404 with the field, to the last character of the path."""
    answer = client.request(method, path.replace("..", "%2E%2E"))
    assert answer.status_code == 404
    assert answer.json()["error"]["field"] == "item_id"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["/items/", "/items/%ff", "/items/" + "x" * 257])
def test_a_path_that_names_no_item(client, method, path):
    """422 with the field."""
    answer = client.request(method, path)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "item_id"


def test_both_doors_show_and_forget_alike(client, running):
    """The same answers over HTTP and gRPC, numbers and odd ids included."""
    ids = ["a/b", "x\ny", 7, "💜 ?#%"]
    put(client, *(comedy(item_id) for item_id in ids))
    with Client(running.url) as web, Client(f"grpc://{running.grpc}") as rpc:
        for item_id in [*ids, "drama-3"]:
            assert web.item(item_id) == rpc.item(item_id)
            assert web.item(item_id).item_id == item_id
        assert [web.forget_item(item_id).forgotten for item_id in ids[:2]] == [True, True]
        assert [rpc.forget_item(item_id).forgotten for item_id in ids[2:]] == [True, True]
        for client_ in (web, rpc):
            with pytest.raises(NotFound) as refused:
                client_.item("a/b")
            assert (refused.value.field, refused.value.code) == ("item_id", "not_found")
            assert client_.forget_item("drama-3").known


def test_an_item_of_nothing_known_is_named(client):
    """Without a category or value of the vocabulary nobody is likely to be shown it; the answer says so."""
    answer = put(client, {"item_id": "opera", "categories": ["opera"]}, {"item_id": "bare"}, comedy("placed"))
    assert answer["unplaced"] == ["opera", "bare"]
    assert recommend(client, session=[{"item_id": "opera"}])[1]["degraded"] == []


def test_a_filter_finds_a_value_that_only_a_put_item_has(client):
    """A new category is refused before the put; after the put the filter finds exactly that item."""
    wanted = {"categories": ["krimi"]}
    assert client.post("/recommend", json={"user_id": FAN, "filter": wanted}).status_code == 422
    put(
        client, {"item_id": "whodunit", "categories": ["krimi"]}, {"item_id": "funny-whodunit", "categories": ["farce"]}
    )

    def found():
        answer = client.post("/recommend", json={"user_id": FAN, "filter": wanted})
        return answer.status_code == 200 and [item["item_id"] for item in answer.json()["items"]] == ["whodunit"]

    poll("a new category found", found)
    explained = client.post("/explain", json={"user_id": FAN, "item_id": "whodunit", "filter": wanted}).json()
    assert (explained["place"], explained["dropped_by"]) == (1, None)
    other = client.post("/explain", json={"user_id": FAN, "item_id": "funny-whodunit", "filter": wanted}).json()
    assert other["dropped_by"] == "filter"
    assert other["reason"].endswith("wants categories among krimi, and the item's categories is farce.")


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

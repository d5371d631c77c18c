"""Items put into a running deployment: recommended, renamed and hidden without a new generation, in every process."""

import os
import signal

import httpx
import pytest

from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
from tests.sample_data import tiny
from tests.servers.deployment import SERVICES, Deployment, wait_for, workers
from tests.service.putting import FAN, comedy, poll, put, recommend


@pytest.fixture(scope="module")
def running(tiny_world, tmp_path_factory):
    """A deployment with two workers of each service, and a store of its own."""
    folder = tmp_path_factory.mktemp("put-items")
    store = EmbeddedValkey(folder / "store")
    url = store.ensure()
    tiny.publish(tiny_world[0], RedisGenerationStore(url))
    workers = dict.fromkeys(("TANDEM_GATEWAY_WORKERS", "TANDEM_RETRIEVAL_WORKERS", "TANDEM_RANKING_WORKERS"), "2")
    with Deployment(folder / "home", folder / "log", REDIS_URL=url, **workers) as deployment:
        yield deployment
    store.stop()


@pytest.fixture(scope="module")
def client(running):
    # A connection a request: requests then reach both workers of the gateway.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=running.url, timeout=30, limits=limits) as opened:
        yield opened


def test_an_item_put_is_recommended(client):
    """To a user who likes its category, with its title and its sources, by every worker."""
    assert put(client, comedy("fresh-1")) == {"stored": 1, "new": 1, "known": 0, "unplaced": [], "ignored_columns": []}
    # Until retrieval has heard of it, a gateway that has fills up a long slate with it, as what is popular.
    nowhere = {"sources": []}
    poll("put to recommended", lambda: "fresh" in recommend(client)[0].get("fresh-1", nowhere)["sources"])
    items, answer = recommend(client)
    assert answer["degraded"] == []
    assert items["fresh-1"]["title"] == "A new fresh-1"
    assert items["fresh-1"]["tower_score"] is not None


def test_a_new_value_of_a_feature_changes_the_explanation(client):
    """`year` is in [features]: its value and its difference to the user's history count from the next put on."""

    def explained():
        answer = client.post("/explain", json={"user_id": FAN, "item_id": "dated", "k": 100})
        return {each["name"]: each for each in answer.json().get("features", ())}

    found = {}
    for year in (1990, 2010):
        put(client, comedy("dated", columns={"year": year}))
        poll(f"year {year}", lambda year=year: explained().get("own_year", {}).get("value") == year)
        found[year] = explained()
    moved = found[2010]["gap_year"]["value"] - found[1990]["gap_year"]["value"]
    assert moved == pytest.approx(20, abs=1e-3)
    for name in ("own_year", "gap_year"):
        assert found[1990][name]["contribution"] != found[2010][name]["contribution"]


def test_a_click_on_a_put_item_counts(client):
    """In a session, in the stored history, in `exclude`, and as seen."""
    put(client, comedy("clicked"))
    poll("known", lambda: "clicked" in recommend(client)[0])
    items, answer = recommend(client, "passer-by", session=[{"item_id": "clicked"}])
    assert answer["history"] == 1
    assert "clicked" not in items
    assert sum(item.startswith("comedy") for item in list(items)[:10]) >= 5
    assert "clicked" not in recommend(client, exclude=["clicked"])[0]
    stored = client.post("/events", json={"events": [{"user_id": "new user", "item_id": "clicked"}]})
    assert stored.json() == {"stored": 1, "unknown_items": [], "unknown_types": [], "too_old": 0}
    items, answer = recommend(client, "new user")
    assert answer["history"] == 1
    assert answer["degraded"] == []
    assert "clicked" not in items


@pytest.mark.parametrize(("item_id", "title"), [("comedy-3", "The comedy 3"), ("going", "A new going")])
def test_an_item_is_hidden_and_shown_again(client, item_id, title):
    """An item of the generation and a put item, in every answer; its title and columns stay."""
    if item_id == "going":
        put(client, comedy("going"))
        poll("put to recommended", lambda: "going" in recommend(client, "stranger")[0])
    assert item_id in recommend(client, "stranger")[0]
    put(client, {"item_id": item_id, "available": False})
    poll(f"{item_id} hidden", lambda: item_id not in recommend(client, "stranger")[0], 30)
    put(client, {"item_id": item_id, "available": True})
    poll(f"{item_id} shown again", lambda: item_id in recommend(client, "stranger")[0])
    assert recommend(client, "stranger")[0][item_id]["title"] == title


def test_an_unknown_column_is_refused_with_the_known_columns(client):
    """The put stores none of its items."""
    answer = client.put(
        "/items", json={"items": [comedy("beside-a-wrong-one"), {"item_id": "a", "columns": {"yaer": 1}}]}
    )
    assert answer.status_code == 422
    assert "it has year" in answer.json()["error"]["message"]
    assert client.get("/items/beside-a-wrong-one").status_code == 404
    assert "beside-a-wrong-one" not in recommend(client)[0]


def test_an_item_is_shown(client):
    """A put is in the next GET at any process. An item of the generation has the content of its tables."""
    for n in range(20):
        put(client, comedy(f"shown-{n}", available=False))
        item = client.get(f"/items/shown-{n}").json()
        assert item.pop("put_at") > 1.7e9
        assert item == {
            "item_id": f"shown-{n}",
            "generation": item["generation"],
            "title": f"A new shown-{n}",
            "categories": ["comedy"],
            "columns": {"year": 2005.0},
            "available": False,
            "known": False,
        }
    item = client.get("/items/drama-7").json()
    assert (item["title"], item["categories"], item["available"]) == ("The drama 7", ["drama"], True)
    assert (item["known"], item["put_at"], item["columns"]) == (True, None, {"year": 1997.0})
    put(client, {"item_id": "drama-7", "title": "Renamed", "available": False, "categories": ["comedy"]})
    item = client.get("/items/drama-7").json()
    assert (item["title"], item["categories"], item["available"]) == ("Renamed", ["drama"], False)
    assert client.delete("/items/drama-7").json()["forgotten"]


def test_a_put_is_dropped(client):
    """An item of the generation is as in its tables, and a new item is gone, in every process."""
    put(client, comedy("mistake"), {"item_id": "comedy-5", "title": "Renamed", "available": False})
    poll("put", lambda: "mistake" in recommend(client)[0] and "comedy-5" not in recommend(client, "stranger")[0])
    forgotten = client.delete("/items/mistake").json()
    assert forgotten == {"item_id": "mistake", "forgotten": True, "known": False}
    for _ in range(2):  # of a known item it may be sent again
        assert client.delete("/items/comedy-5").json()["known"]
    assert client.get("/items/comedy-5").json()["title"] == "The comedy 5"
    assert client.get("/items/mistake").status_code == 404
    shown = lambda: recommend(client, "stranger")[0].get("comedy-5", {"title": ""})["title"]  # noqa: E731
    poll("as before", lambda: "mistake" not in recommend(client)[0] and shown() == "The comedy 5", 30)


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
    assert other["reason"].endswith("requires categories among krimi, and the item's categories is farce.")


def test_a_restarted_worker_has_the_put_items(client, running, tmp_path):
    """Every answer has the item, and hides the hidden one."""
    put(client, comedy("lasting"), {"item_id": "action-1", "available": False})
    poll("known", lambda: "lasting" in recommend(client)[0])
    before = {service: workers(running, service) for service in SERVICES}
    victims = {min(before["Gateway"]), min(before["Ranking"])}
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(len(workers(running, service) - victims) == len(before[service]) for service in SERVICES))

    def is_complete():
        try:
            items, answer = recommend(client)
        except (httpx.HTTPError, AssertionError):
            return False
        return not answer["degraded"] and "lasting" in items and "action-1" not in items

    poll("after a worker was killed", is_complete, 30)

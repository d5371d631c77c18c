"""The data of the Explorer over HTTP: search of items and users, a history, and a slate with its reasons."""

import pytest

from tests.servers.deployment import wait_for

USER = 4


def get(client, path, **query):
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(client, path, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_items_are_found_by_a_part_of_title_or_id_in_any_case(client):
    """The exact id is first; an item that was put is found by its title."""
    shown = post(client, "/recommend", user_id=USER, k=1)["items"][0]
    part = shown["title"][1:]  # to its end: the title of an item has its number
    for text in (part, part.upper()):
        assert shown["item_id"] in [item["item_id"] for item in get(client, "/explorer/items", q=text)["items"]]
    assert get(client, "/explorer/items", q=str(shown["item_id"]))["items"][0]["item_id"] == shown["item_id"]
    new = {"item_id": "zyzzyva-1", "title": "Zyzzyva the Beetle", "available": False}
    assert client.put("/items", json={"items": [new]}).status_code == 200
    wait_for(lambda: get(client, "/explorer/items", q="ZYZZYVA") == {"items": [new], "more": False})
    client.delete("/items/zyzzyva-1")


def test_users_are_found_by_the_beginning_of_their_id(client):
    """Those of the sample, the exact id first; an unknown id finds nothing; each has a history."""
    found = get(client, "/explorer/users", q="1", limit=5)
    shortest = min((user["user_id"] for user in found["users"]), key=len)  # other tests may have deleted user 1
    assert get(client, "/explorer/users", q=shortest)["users"][0]["user_id"] == shortest
    assert len(found["users"]) == 5
    assert all(user["user_id"].startswith("1") and user["history"] for user in found["users"])
    assert found["complete"]
    assert get(client, "/explorer/users", q="1 nobody")["users"] == []


def test_a_history_has_titles_and_its_newest_event_first(client):
    """An event that was just stored comes before the generation's history."""
    before = get(client, "/explorer/users/7")
    post(client, "/events", user_id=7, item_id=before["newest"][-1]["item_id"])
    after = get(client, "/explorer/users/7")
    assert after["total"] == before["total"] + 1
    assert after["newest"][0]["item_id"] == before["newest"][-1]["item_id"]
    assert all(event["title"] for event in after["newest"])
    times = [event["timestamp"] for event in after["newest"]]
    assert times == sorted(times, reverse=True)


def test_the_slate_is_that_of_recommend_with_the_reasons_of_explain(client):
    """One request has what /recommend and one /explain for each item return."""
    plain = post(client, "/recommend", user_id=USER, k=5, mode="realtime", log_impression=False)
    made = post(client, "/explorer/slate", user_id=USER, k=5, mode="realtime")
    assert made["slate"]["items"] == plain["items"]
    assert made["unexplained"] is None
    for item, reasons in zip(made["slate"]["items"], made["reasons"], strict=True):
        explained = post(client, "/explain", user_id=USER, k=5, mode="realtime", item_id=item["item_id"])["reasons"]
        assert [each["words"] for each in reasons[:3]] == explained[:3]


def test_first_reasons_differ_and_name_what_the_user_took(client):
    """What is the same for all candidates, such as the time since the newest event, is no reason."""
    user = 7
    taken = {event["title"] for event in get(client, f"/explorer/users/{user}")["newest"]}
    made = post(client, "/explorer/slate", user_id=user, k=10, mode="realtime")
    first = [reasons[0]["words"] for reasons in made["reasons"]]
    assert len(set(first)) >= 3, first
    words = [reason["words"] for reasons in made["reasons"] for reason in reasons]
    assert any(each == f"goes together with {title}" for title in taken for each in words), words


def test_candidates_that_are_left_out_have_a_reason(client):
    """An excluded item keeps its place among the candidates, and a sentence says why the slate lacks it."""
    first = post(client, "/explorer/slate", user_id=USER, k=3)["slate"]["items"][0]
    made = post(client, "/explorer/slate", user_id=USER, k=3, exclude=[first["item_id"]])
    left_out = {each["item_id"]: each for each in made["left_out"]}
    assert left_out[first["item_id"]]["reason"] == "excluded"
    assert left_out[first["item_id"]]["sentence"] == "The request excludes the item."
    assert sum(made["slate"]["removed"].values()) >= len(left_out)
    assert [each["place"] for each in made["left_out"]] == sorted(each["place"] for each in made["left_out"])


def test_choices_are_those_of_the_generation(client):
    """Surfaces, modes, event types and context columns; without keys every scope."""
    choices = get(client, "/explorer/choices")
    assert choices["surfaces"][0]["name"] == "default"
    assert choices["modes"] == ["auto", "batch", "hybrid", "realtime"]
    assert [context["column"] for context in choices["contexts"]] == ["device"]
    assert sorted(choices["scopes"]) == ["admin", "read", "write"]


@pytest.mark.parametrize(
    ("method", "path", "sent", "field"),
    [
        ("GET", "/explorer/items", {"params": {"q": "x" * 201}}, "q"),
        ("GET", "/explorer/users", {"params": {"limit": "many"}}, "limit"),
        ("GET", "/explorer/items", {"params": {"text": "a"}}, "text"),
        ("POST", "/explorer/slate", {"json": {"user_ids": [1, 2]}}, "user_ids"),
        ("POST", "/explorer/slate", {"json": {"surface": "nowhere"}}, "surface"),
        ("GET", "/explorer/users/" + "x" * 257, {}, "user_id"),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(client, method, path, sent, field):
    """422 with the field and a sentence."""
    answer = client.request(method, path, **sent)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field

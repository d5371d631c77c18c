"""Ids and times of every form over HTTP: each is one user, one item or one moment, to the last character."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.sample_data.unusual_ids import UNUSUAL_IDS
from tests.servers.both_doors import verdict


def send(client, path, body):
    return client.post(path, content=json.dumps(body).encode(), headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-11-24T15:36:00", "offset"),
        ("2026-11-24", "ISO 8601"),
        ("24/11/2026 15:36", "ISO 8601"),
        ("2026-02-30T00:00:00Z", "ISO 8601"),
        ("1795534560", "ISO 8601"),
        ("", "ISO 8601"),
        ("1960-01-01T00:00:00Z", "greater than or equal to 0"),
        ("9999-12-31T23:59:59Z", "future"),
    ],
)
def test_a_text_that_is_no_time_is_refused(client, text, words):
    """Also a local time, whose time zone is unknown. The error has the field."""
    event = {"item_id": "drama-1", "timestamp": text}
    for path, place, body in (
        ("/events", "events.0", {"events": [event | {"user_id": "u"}]}),
        ("/explain", "session.0", {"item_id": "drama-1", "session": [event]}),
    ):
        error = verdict(send(client, path, body))
        assert error["field"] == f"{place}.timestamp"
        assert words in error["message"]


def test_events_older_than_90_days_are_counted(client):
    """`too_old` counts an event of 2020, and the user's history does not have it."""
    old, new = ({"user_id": "archivist", "item_id": "drama-1"} | more for more in ({"timestamp": 1_577_836_800}, {}))
    answer = send(client, "/events", {"events": [old, new]}).json()
    assert (answer["stored"], answer["too_old"]) == (2, 1)
    assert len(client.get("/users/archivist").json()["events"]) == 1
    client.delete("/users/archivist")


@pytest.mark.parametrize("name", UNUSUAL_IDS)
def test_texts_of_every_script_are_accepted(client, name):
    """As ids, types and contexts, and answers repeat them unchanged; a deletion removes them."""
    text = UNUSUAL_IDS[name]
    request = {"user_id": text, "exclude": [text], "session": [{"item_id": text}], "context": {"device": text[:64]}}
    answer = send(client, "/recommend", request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user_id"] == text
    event = {"user_id": text, "item_id": text, "event_type": text[:64], "event_id": text[:128]}
    stored = {"stored": 1, "unknown_items": [text], "unknown_types": [], "too_old": 0}
    assert send(client, "/events", event).json() == stored
    path = "/users/" + quote(text, safe="").replace(".", "%2E")
    assert [each["item_id"] for each in client.get(path).json()["events"]] == [text]
    assert client.delete(path).json() == {"user_id": text, "forgotten": True}
    assert client.get(path).json()["events"] == []


def test_a_wrong_id_in_a_path_is_refused(client):
    """An empty or long id, and other bytes than UTF-8: one character in their place would make one user of many.

    An item is unknown unless its id is equal to the last character.
    """
    for method in ("GET", "DELETE"):
        for sent in ("", "x" * 257, quote("💜" * 257), "%ff", "%c3%28", "a%ed%a0%80"):
            for name in ("user", "item"):
                answer = client.request(method, f"/{name}s/{sent}")
                assert (answer.status_code, verdict(answer)["field"]) == (422, f"{name}_id"), sent
        for path in ("/items/no%20such%20item", "/items/a/b", "/items/drama-1%0A", "/items/%2E%2E/x"):
            answer = client.request(method, path)
            assert (answer.status_code, verdict(answer)["field"]) == (404, "item_id"), path
    answer = send(client, "/users//merge", {"into": "8"})
    assert verdict(answer)["field"] == "user_id"


PATHS = {
    "/users/a%00b": "a\0b",
    "/users/ann%0a": "ann\n",
    "/users/%0A": "\n",
    "/users/a%2Fb": "a/b",
    "/users/a/b": "a/b",
    "/users//": "/",
    "/users/%252e": "%2e",
    "/users/%2e%2e%2fstatus": "../status",
    "/users/7?user_id=8": "7",
    "/users/%EF%BF%BD": "\ufffd",
}


@pytest.mark.parametrize("path", PATHS)
def test_an_id_in_a_path_is_one_user_to_the_last_character(client, path):
    """Encoded slashes, dots and line breaks are part of the id."""
    assert client.get(path).json()["user_id"] == PATHS[path]
    assert client.delete(path).json() == {"user_id": PATHS[path], "forgotten": True}

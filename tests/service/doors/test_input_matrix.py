"""Wrong bodies, headers and paths over HTTP: a JSON error with the field, and no other effect."""

from __future__ import annotations

import http.client
import json
from urllib.parse import quote

import httpx
import pytest

from tests.sample_data.unusual_ids import UNUSUAL_IDS

BODIES = {
    "/recommend": {"user_id": "u"},
    "/similar": {"item_id": "drama-1"},
    "/explain": {"user_id": "u", "item_id": "drama-1"},
    "/rank": {"items": ["drama-1"]},
    "/events": {"events": [{"user_id": "u", "item_id": "drama-1"}]},
    "/items": {"items": [{"item_id": "i-1"}]},
}
"""A right body of each verb that takes one."""

DEEP = 10_000


@pytest.fixture(scope="module")
def client(deployment):
    with httpx.Client(base_url=deployment.url, timeout=60) as opened:
        yield opened


def send(client, path, body, **headers):
    method = "PUT" if path == "/items" else "POST"
    data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    return client.request(method, path, content=data, headers={"content-type": "application/json"} | headers)


def verdict(answer, *codes):
    """The error of an answer: it has the one shape, one of the statuses, and a short sentence."""
    assert answer.status_code in codes, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/json"
    (error,) = answer.json().values()
    assert set(error) <= {"code", "message", "field"}
    assert error["code"]
    assert 5 < len(error["message"]) < 500
    return error


NO_JSON = {
    "nothing": "",
    "no JSON": "user_id=u",
    "half a body": '{"user_id": "u"',
    "two bodies": '{"user_id": "u"}{}',
    "a byte order mark": "\ufeff{}",
    "no text": b"\xff\xfe\x00\x01",
    "a surrogate as bytes": '{"user_id": "\ud800"}',
    "a surrogate escaped": '{"user_id": "\\ud800"}',
    "half a pair": '{"user_id": "\\ud83d x"}',
    "arrays in arrays": "[" * DEEP,
    "arrays in arrays, closed": "[" * DEEP + "]" * DEEP,
    "objects in objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "an open string": '{"user_id": "' + "x" * 100_000,
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("name", NO_JSON)
def test_a_body_that_is_no_json_is_refused(client, path, name):
    """On every verb that takes a body."""
    verdict(send(client, path, NO_JSON[name]), 400, 422)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", ["null", "[]", "3", '"x"', "true", "{}", '{"nobody": 1}'])
def test_json_that_is_no_request_is_refused(client, path, body):
    """On every verb. An empty object is the request of a visitor for a slate."""
    if (path, body) == ("/recommend", "{}"):
        assert send(client, path, body).json()["user_id"] is None
    else:
        verdict(send(client, path, body), 422)


NUMBERS = ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5_000, "1" + "0" * 5_000, "true", '"10"', "null")


RAW_PLACES = {
    "k": ("/recommend", '{"user_id": "u", "k": @}', ("0", "-1", "1e9", "2.0", "1e1", "2.5", "101")),
    "user_id": ("/recommend", '{"user_id": @}', ("1.5", '""')),
    "items.0": ("/rank", '{"items": [@]}', ("1.5", '""')),
    "surface": ("/rank", '{"items": ["a"], "surface": @}', ("1", '""')),
    "item_id": ("/similar", '{"item_id": @}', ("1.5", '""')),
    "events.0.item_id": ("/events", '{"events": [{"user_id": "u", "item_id": @}]}', ("1.5", '""')),
    "items.0.item_id": ("/items", '{"items": [{"item_id": @}]}', ("1.5", '""')),
    "events.0.timestamp": ("/events", '{"events": [{"user_id": "u", "item_id": "a", "timestamp": @}]}', ("-1", "1e15")),
    "session.0.timestamp": ("/recommend", '{"user_id": "u", "session": [{"item_id": "a", "timestamp": @}]}', ("-1",)),
    "items.0.columns.year": ("/items", '{"items": [{"item_id": "i-1", "columns": {"year": @}}]}', ()),
}
"""By field: a path, a body with a place for a value, and wrong values besides NUMBERS."""

VALID = {
    *((field, value) for field in RAW_PLACES if field.endswith("_id") or field == "items.0" for value in ('"10"',)),
    *((field, "null") for field in ("user_id", "events.0.timestamp", "session.0.timestamp")),
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (field, value)
        for field, (_, _, more) in RAW_PLACES.items()
        for value in (*NUMBERS, "[]", "{}", '"' + "x" * 257 + '"', *more)
        if (field, value) not in VALID
    ],
)
def test_a_wrong_value_is_refused_with_its_field(client, field, value):
    """Numbers that JSON parsers treat differently, other types, and values out of bounds."""
    path, body, _ = RAW_PLACES[field]
    error = verdict(send(client, path, body.replace("@", value)), 400, 422)
    assert error.get("field", field) == field


ISO_TIMES = {
    "2026-11-24T15:36:00Z": 1_795_534_560.0,
    "2026-11-24T15:36:00+00:00": 1_795_534_560.0,
    "2026-11-24t16:36:00.250+01:00": 1_795_534_560.25,
    "2026-11-24 10:36-05:00": 1_795_534_560.0,
}


@pytest.mark.parametrize("text", ISO_TIMES)
def test_an_iso_time_is_stored_in_unix_seconds(client, text):
    """With any offset, of an event and of an event of a session."""
    path = "/users/" + quote(text, safe="")
    event = {"user_id": text, "item_id": "drama-1", "timestamp": text}
    assert send(client, "/events", json.dumps(event)).json()["stored"] == 1
    assert [each["timestamp"] for each in client.get(path).json()["events"]] == [ISO_TIMES[text]]
    session = {"session": [{"item_id": "drama-1", "timestamp": text}]}
    assert send(client, "/recommend", json.dumps(session)).json()["history"] == 1
    client.delete(path)


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
        ("/recommend", "session.0", {"user_id": "u", "session": [event]}),
        ("/explain", "session.0", {"item_id": "drama-1", "session": [event]}),
    ):
        error = verdict(send(client, path, json.dumps(body)), 422)
        assert error["field"] == f"{place}.timestamp"
        assert words in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/recommend", {"user_id": "u", "user_ids": ["v"]}, "user_id"),
        ("/recommend", {"user_ids": []}, "user_ids"),
        ("/recommend", {"user_ids": ["v"] * 101}, "user_ids"),
        ("/recommend", {"user_ids": ["v"], "session": [{"item_id": "drama-1"}]}, "session"),
        ("/recommend", {"user_id": "u", "mode": "fast"}, "mode"),
        ("/recommend", {"user_id": "u", "filter": {"categories": []}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"categories": "drama"}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"categories": ["drama", "Drama"]}}, "filter.categories"),
        ("/explain", {"user_id": "u", "item_id": "drama-1", "filter": {"categories": ["x"]}}, "filter.categories"),
        ("/similar", {"item_id": "drama-1", "filter": {"categories": ["x"]}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"categories": {"lt": 5}}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"categories": True}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"year": True}}, "filter.year"),
        ("/recommend", {"user_id": "u", "filter": {"year": {}}}, "filter.year"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"lt": "2000"}}}, "filter.year.lt"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"lt": float("nan")}}}, "filter.year.lt"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"below": 5}}}, "filter.year.below"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"gte": 5, "lte": 4}}}, "filter.year"),
        ("/explain", {"user_id": "u", "item_id": "drama-1", "filter": {"year": {"gt": 5, "lt": 5}}}, "filter.year"),
        ("/similar", {"item_id": "drama-1", "filter": {"price": {"lt": 5}}}, "filter.price"),
        ("/items", {"items": [{"item_id": "i", "columns": {"year": True}}]}, "items.0.columns.year"),
        ("/recommend", {"user_id": "u", "session": [{"item_id": "a"}] * 101}, "session"),
        ("/recommend", {"user_id": "u", "exclude": list(range(1_001))}, "exclude"),
        ("/explain", {"user_id": "u"}, "item_id"),
        ("/explain", {"user_id": "u", "item_id": "no such item"}, "item_id"),
        ("/similar", {"item_id": "no such item"}, "item_id"),
        ("/rank", {"items": []}, "items"),
        ("/rank", {"items": ["x"] * 501}, "items"),
        ("/events", {"events": []}, "events"),
        ("/events", {"events": [{"user_id": "u", "item_id": "a"}] * 1_001}, "events"),
        ("/events", {"user_id": "u"}, "item_id"),
        ("/events", {"user_id": "u", "item_id": "a", "event_id": ""}, "event_id"),
        ("/events", {"user_id": "u", "item_id": "a", "context": {"colour": "red"}}, "events.0.context.colour"),
        ("/recommend", {"user_id": "u", "context": {"devise": "mobile"}}, "context.devise"),
        ("/recommend", {"user_id": "u", "context": {"device": None}}, "context.device"),
        ("/recommend", {"user_id": "u", "context": {str(i): "" for i in range(9)}}, "context"),
        ("/recommend", {"user_id": "u", "session": [{}]}, "session.0.item_id"),
        ("/items", {"items": []}, "items"),
        ("/items", {"items": [{"item_id": n} for n in range(1001)]}, "items"),
        ("/items", {"items": [{"item_id": "i", "titel": "x"}]}, "items.0.titel"),
        ("/items", {"items": [{"item_id": "i", "categories": [""]}]}, "items.0.categories.0"),
        ("/items", {"items": [{"item_id": "i", "categories": ["x"] * 33}]}, "items.0.categories"),
        ("/items", {"items": [{"item_id": "i", "columns": {"yaer": 1}}]}, "items.0.columns.yaer"),
        ("/items", {"items": [{"item_id": "i", "columns": {str(n): 1 for n in range(33)}}]}, "items.0.columns"),
        ("/items", {"items": [{"item_id": "i", "title": "x" * 512, "categories": ["y" * 256] * 16}]}, "items.0"),
        ("/users/7/merge", {"into": "7"}, "into"),
        ("/users/7/merge", {"into": "8", "user_id": "9"}, "user_id"),
        ("/users//merge", {"into": "8"}, "user_id"),
    ],
)
def test_the_field_is_named(client, path, body, field):
    """The error has the field that is wrong."""
    error = verdict(send(client, path, json.dumps(body)), 404, 422)
    assert error["field"] == field


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"colour": "red"}, "colour", "There is no field of this name; remove it."),
        ({"filter": {"categories": ["a"] * 65}}, "filter.categories", "Send at most 64 entries."),
        ({"filter": {"categories": []}}, "filter.categories", "Send at least 1 entry."),
        (
            {"filter": {"categories": ["Dramma"]}},
            "filter.categories",
            "No item has the value 'Dramma'; there is drama.",
        ),
        ({"filter": {"": ["a"]}}, "filter", "An empty text or name is not allowed; send at least 1 character."),
        (
            {"filter": {"categories": [True]}},
            "filter.categories.0",
            "A list holds texts of 1 to 256 characters and finite numbers of 64 bits; send true or false without a "
            "list.",
        ),
    ],
)
def test_an_error_is_a_sentence_with_the_fix(client, more, field, message):
    """The sentence has the limit or the remedy in plain words."""
    error = verdict(send(client, "/recommend", json.dumps({"user_id": "u"} | more)), 422)
    assert (error["field"], error["message"]) == (field, message)


def test_events_older_than_90_days_are_counted(client):
    """`too_old` counts an event of 2020, and the user's history does not have it."""
    old, new = ({"user_id": "archivist", "item_id": "drama-1"} | more for more in ({"timestamp": 1_577_836_800}, {}))
    answer = send(client, "/events", json.dumps({"events": [old, new]})).json()
    assert (answer["stored"], answer["too_old"]) == (2, 1)
    assert len(client.get("/users/archivist").json()["events"]) == 1
    client.delete("/users/archivist")


@pytest.mark.parametrize("name", UNUSUAL_IDS)
def test_texts_of_every_script_are_accepted(client, name):
    """As ids, types and contexts, and answers repeat them unchanged. In a filter such a text is a value that no item
    has.
    """
    text = UNUSUAL_IDS[name]
    request = {"user_id": text, "exclude": [text], "session": [{"item_id": text}], "context": {"device": text[:64]}}
    answer = send(client, "/recommend", json.dumps(request))
    assert answer.status_code == 200, answer.text
    assert answer.json()["user_id"] == text
    error = verdict(send(client, "/recommend", json.dumps({"user_id": "u", "filter": {"categories": [text]}})), 422)
    assert error["field"] == "filter.categories"
    event = {"user_id": text, "item_id": text, "event_type": text[:64], "event_id": text[:128]}
    stored = {"stored": 1, "unknown_items": [text], "unknown_types": [], "too_old": 0}
    assert send(client, "/events", json.dumps(event)).json() == stored
    path = "/users/" + quote(text, safe="").replace(".", "%2E")
    assert [each["item_id"] for each in client.get(path).json()["events"]] == [text]
    assert client.delete(path).json() == {"user_id": text, "forgotten": True}
    assert client.get(path).json()["events"] == []


@pytest.mark.parametrize("sent", ["", "x" * 257, quote("💜" * 257), "%ff", "%c3%28", "a%ed%a0%80"])
@pytest.mark.parametrize("name", ["users", "items"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_wrong_id_in_a_path_is_refused(client, method, name, sent):
    """An empty or long id, and other bytes than UTF-8: one character in their place would make one user of many."""
    assert verdict(client.request(method, f"/{name}/{sent}"), 422)["field"] == f"{name[:-1]}_id"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["/items/no%20such%20item", "/items/a/b", "/items/drama-1%0A", "/items/%2E%2E/x"])
def test_an_unknown_item_in_a_path_is_not_found(client, method, path):
    """An id is compared to the last character of the path."""
    assert verdict(client.request(method, path), 404)["field"] == "item_id"


@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("/users/a%00b", "a\0b"),
        ("/users/ann%0a", "ann\n"),
        ("/users/%0A", "\n"),
        ("/users/a%2Fb", "a/b"),
        ("/users/a/b", "a/b"),
        ("/users//", "/"),
        ("/users/%252e", "%2e"),
        ("/users/%2e%2e%2fstatus", "../status"),
        ("/users/7?user_id=8", "7"),
        ("/users/%EF%BF%BD", "\ufffd"),
    ],
)
def test_an_id_in_a_path_is_one_user_to_the_last_character(client, path, user):
    """Encoded slashes, dots and line breaks are part of the id."""
    assert client.get(path).json()["user_id"] == user
    assert client.delete(path).json() == {"user_id": user, "forgotten": True}


def test_ids_that_look_alike(client):
    """7 and "7" are one user. A text that is similar to 7 is another user."""
    event = {"user_id": 70_707, "item_id": "drama-1", "event_id": "once"}
    assert send(client, "/events", json.dumps(event)).json()["stored"] == 1
    assert send(client, "/events", json.dumps(event | {"user_id": "70707"})).json()["stored"] == 0
    others = (
        "070707",
        " 70707",
        "70707 ",
        "70707.0",
        "+70707",
        "70707\0",
        "\uff17\uff10\uff17\uff10\uff17",
        "70_707",
    )
    for user, history in [(70_707, 1), ("70707", 1), *((other, 0) for other in others)]:
        assert send(client, "/recommend", json.dumps({"user_id": user})).json()["history"] == history
    assert client.delete("/users/70707").json()["forgotten"]
    assert send(client, "/recommend", json.dumps({"user_id": 70_707})).json()["history"] == 0


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/vnd.bentoml+pickle",
        "x",
        "",
        "x" * 5_000,
    ],
)
def test_another_content_type_is_refused(client, path, kind):
    """415, before the body is read."""
    answer = send(client, path, json.dumps(BODIES[path]), **{"content-type": kind})
    verdict(answer, 415)


@pytest.mark.parametrize("path", [*BODIES, "/users/u", "/users/u/merge", "/items/i", "/status"])
@pytest.mark.parametrize("method", ["PATCH", "TRACE", "OPTIONS"])
def test_another_method(client, path, method):
    """405 with the allowed methods."""
    answer = client.request(method, path)
    verdict(answer, 405)
    assert answer.headers["allow"]


def test_the_last_value_of_a_doubled_name_counts(client):
    """As in the OpenAPI document."""
    answer = send(client, "/recommend", '{"user_id": "a", "user_id": "b", "k": 3, "k": 4}')
    assert answer.json()["user_id"] == "b"
    assert len(answer.json()["items"]) == 4
    filters = '{"categories": ["opera"], "categories": ["drama"]}'
    assert send(client, "/recommend", f'{{"user_id": "a", "filter": {filters}}}').json()["items"]
    assert "the last value counts" in client.get("/openapi.json").json()["info"]["description"]


def test_a_deadline_in_the_digits_of_another_script_is_refused(deployment):
    """Python takes a superscript for a digit. `test_two_doors` has other wrong deadlines."""
    connection = http.client.HTTPConnection("127.0.0.1", deployment.port, timeout=30)
    body = b'{"user_id": "u"}'
    head = f"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nx-deadline-ms: \u00b2\r\n\r\n"
    connection.connect()
    connection.sock.sendall(head.encode("latin-1") + body)
    answer = http.client.HTTPResponse(connection.sock)
    answer.begin()
    assert answer.status == 422
    assert json.loads(answer.read())["error"]["field"] == "x-deadline-ms"
    connection.close()


def test_after_all_tests_the_deployment_works(client, deployment):
    """A complete answer, and no traceback in the log."""
    answer = send(client, "/recommend", '{"user_id": 4}')
    assert answer.status_code == 200
    assert answer.json()["degraded"] == []
    log = deployment.log.read_text()
    assert "Traceback" not in log
    assert " failed" not in log

"""What a body, a header or a path may hold and should not: a verdict in JSON, with the field, and no more."""

from __future__ import annotations

import http.client
import json
from urllib.parse import quote

import grpc
import httpx
import pytest

from tests.sample_data.unusual_ids import UNUSUAL_IDS

BODIES = {
    "/recommend": {"user_id": "u"},
    "/similar": {"item_id": "drama-1"},
    "/explain": {"user_id": "u", "item_id": "drama-1"},
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
    """The error of an answer: of the one shape, with one of the codes, and short."""
    assert answer.status_code in codes, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/json"
    (told,) = answer.json().values()
    assert set(told) <= {"code", "message", "field"}
    assert told["code"]
    assert 5 < len(told["message"]) < 500
    return told


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
def test_what_is_no_json_is_told(client, path, name):
    """400 or 422 with a sentence, on every verb that takes a body."""
    verdict(send(client, path, NO_JSON[name]), 400, 422)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", ["null", "[]", "3", '"x"', "true", "{}", '{"nobody": 1}'])
def test_what_is_no_request_is_told(client, path, body):
    """422 on every verb, but for an empty wish: its slate is for a visitor of whom nothing is known."""
    if (path, body) == ("/recommend", "{}"):
        assert send(client, path, body).json()["user_id"] is None
    else:
        verdict(send(client, path, body), 422)


NUMBERS = ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5_000, "1" + "0" * 5_000, "true", '"10"', "null")


@pytest.mark.parametrize("value", [*NUMBERS, "0", "-1", "1e9", "1000000000", "2.0", "1e1", "2.5", "101", "[]", "{}"])
@pytest.mark.parametrize("path", ["/recommend", "/similar", "/explain"])
def test_a_k_that_is_none(client, path, value):
    """Never more than a hundred, never less than one, never another kind of thing."""
    body = json.dumps(BODIES[path])[:-1] + f', "k": {value}}}'
    told = verdict(send(client, path, body), 400, 422)
    assert told.get("field", "k") == "k"


@pytest.mark.parametrize(
    "value", [*(v for v in NUMBERS if v not in ("null", '"10"')), "1.5", "[]", "{}", '""', '"' + "x" * 257 + '"']
)
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/recommend", "user_id"),
        ("/similar", "item_id"),
        ("/explain", "item_id"),
        ("/events", "events.0.item_id"),
        ("/items", "items.0.item_id"),
    ],
)
def test_an_id_that_is_none(client, path, field, value):
    """A string of 1 to 256 characters or an integer of 64 bits; the field is named."""
    body = json.loads(json.dumps(BODIES[path]))
    place, name = body, field.split(".")
    for part in name[:-1]:
        place = place[int(part) if part.isdigit() else part]
    place[name[-1]] = "@"
    told = verdict(send(client, path, json.dumps(body).replace('"@"', value)), 400, 422)
    assert told.get("field", field) == field


@pytest.mark.parametrize("value", [*(v for v in NUMBERS if v != "null"), "-1", "1e15", "[]"])
def test_a_time_that_is_none(client, value):
    """Of an event, and of one in a session."""
    event = f'{{"user_id": "u", "item_id": "drama-1", "timestamp": {value}}}'
    verdict(send(client, "/events", f'{{"events": [{event}]}}'), 400, 422)
    session = f'[{{"item_id": "drama-1", "timestamp": {value}}}]'
    verdict(send(client, "/recommend", f'{{"user_id": "u", "session": {session}}}'), 400, 422)


ISO_TIMES = {
    "2026-11-24T15:36:00Z": 1_795_534_560.0,
    "2026-11-24T15:36:00+00:00": 1_795_534_560.0,
    "2026-11-24t16:36:00.250+01:00": 1_795_534_560.25,
    "2026-11-24 10:36-05:00": 1_795_534_560.0,
}


@pytest.mark.parametrize("text", ISO_TIMES)
def test_an_iso_time_is_its_moment(client, text):
    """Of an event, whatever its offset, and of one in a session; it is stored in unix seconds."""
    path = "/users/" + quote(text, safe="")
    event = {"user_id": text, "item_id": "drama-1", "timestamp": text}
    assert send(client, "/events", json.dumps(event)).json()["stored"] == 1
    assert [told["timestamp"] for told in client.get(path).json()["events"]] == [ISO_TIMES[text]]
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
def test_a_text_that_is_no_time_is_told(client, text, words):
    """A local time too: its zone is not ours to guess. The field is named."""
    event = {"item_id": "drama-1", "timestamp": text}
    for path, place, body in (
        ("/events", "events.0", {"events": [event | {"user_id": "u"}]}),
        ("/recommend", "session.0", {"user_id": "u", "session": [event]}),
        ("/explain", "session.0", {"item_id": "drama-1", "session": [event]}),
    ):
        told = verdict(send(client, path, json.dumps(body)), 422)
        assert told["field"] == f"{place}.timestamp"
        assert words in told["message"]


@pytest.mark.parametrize(
    "value", [*(v for v in NUMBERS if v not in ("null", '"10"')), "[1]", "{}", '"' + "x" * 257 + '"']
)
def test_a_column_value_that_is_none(client, value):
    """Of an item that is put."""
    body = f'{{"items": [{{"item_id": "i-1", "columns": {{"year": {value}}}}}]}}'
    verdict(send(client, "/items", body), 400, 422)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/recommend", {"user_id": "u", "user_ids": ["v"]}, "user_id"),
        ("/recommend", {"user_ids": []}, "user_ids"),
        ("/recommend", {"user_ids": ["v"] * 101}, "user_ids"),
        ("/recommend", {"user_ids": ["v"], "session": [{"item_id": "drama-1"}]}, "session"),
        ("/recommend", {"user_id": "u", "mode": "fast"}, "mode"),
        ("/recommend", {"user_id": "u", "mode": None}, "mode"),
        ("/recommend", {"user_id": "u", "filter": {"categories": []}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"categories": "drama"}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"nothing": ["x"]}}, "filter.nothing"),
        ("/recommend", {"user_id": "u", "filter": {"categories": ["drama", "Drama"]}}, "filter.categories"),
        ("/explain", {"user_id": "u", "item_id": "drama-1", "filter": {"categories": ["x"]}}, "filter.categories"),
        ("/similar", {"item_id": "drama-1", "filter": {"categories": ["x"]}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"categories": ["x"] * 65}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"categories": [True]}}, "filter.categories.0"),
        ("/recommend", {"user_id": "u", "filter": {"categories": {"lt": 5}}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"categories": True}}, "filter.categories"),
        ("/recommend", {"user_id": "u", "filter": {"year": True}}, "filter.year"),
        ("/recommend", {"user_id": "u", "filter": {"year": {}}}, "filter.year"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"lt": "2000"}}}, "filter.year.lt"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"lt": True}}}, "filter.year.lt"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"lt": float("nan")}}}, "filter.year.lt"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"below": 5}}}, "filter.year.below"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"gte": 5, "lte": 4}}}, "filter.year"),
        ("/recommend", {"user_id": "u", "filter": {"year": {"gt": 5, "gte": 4}}}, "filter.year"),
        ("/explain", {"user_id": "u", "item_id": "drama-1", "filter": {"year": {"gt": 5, "lt": 5}}}, "filter.year"),
        ("/similar", {"item_id": "drama-1", "filter": {"price": {"lt": 5}}}, "filter.price"),
        ("/items", {"items": [{"item_id": "i", "columns": {"year": True}}]}, "items.0.columns.year"),
        ("/recommend", {"user_id": "u", "session": [{"item_id": "a"}] * 101}, "session"),
        ("/recommend", {"user_id": "u", "exclude": list(range(1_001))}, "exclude"),
        ("/explain", {"user_id": "u"}, "item_id"),
        ("/explain", {"user_id": "u", "item_id": "no such item"}, "item_id"),
        ("/similar", {"item_id": "no such item"}, "item_id"),
        ("/events", {"events": []}, "events"),
        ("/events", {"events": [{"user_id": "u", "item_id": "a"}] * 1_001}, "events"),
        ("/events", {"user_id": "u"}, "item_id"),
        ("/events", {"user_id": "u", "item_id": "a", "event_id": ""}, "event_id"),
        ("/events", {"user_id": "u", "item_id": "a", "event_type": ""}, "event_type"),
        ("/events", {"user_id": "u", "item_id": "a", "context": {"colour": "red"}}, "events.0.context.colour"),
        ("/events", {"user_id": "u", "item_id": "a", "context": {"device": 1}}, "context.device"),
        ("/items", {"items": []}, "items"),
        ("/items", {"items": [{"item_id": "i", "available": 1}]}, "items.0.available"),
    ],
)
def test_the_field_is_named(client, path, body, field):
    """What is wrong is said of the field that is wrong."""
    told = verdict(send(client, path, json.dumps(body)), 404, 422)
    assert told["field"] == field


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"colour": "red"}, "colour", "There is no field of this name; remove it."),
        ({"filter": {"categories": ["a"] * 65}}, "filter.categories", "Send at most 64 entries."),
        ({"filter": {"categories": []}}, "filter.categories", "Send at least 1 entry."),
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
    """The schema's own errors name the limit or the remedy in plain words."""
    told = verdict(send(client, "/recommend", json.dumps({"user_id": "u"} | more)), 422)
    assert (told["field"], told["message"]) == (field, message)


def test_events_older_than_is_kept_are_counted(client):
    """An event of 2020 is named in `too_old`, and the user's history does not have it; one of today is not."""
    old, new = ({"user_id": "archivist", "item_id": "drama-1"} | more for more in ({"timestamp": 1_577_836_800}, {}))
    told = send(client, "/events", json.dumps({"events": [old, new]})).json()
    assert (told["stored"], told["too_old"]) == (2, 1)
    assert len(client.get("/users/archivist").json()["events"]) == 1
    client.delete("/users/archivist")


@pytest.mark.parametrize("name", UNUSUAL_IDS)
def test_strings_of_every_script_are_taken(client, name):
    """As ids, types and contexts; and they come back as they were sent. In a filter it is a value that no item has."""
    text = UNUSUAL_IDS[name]
    asked = {"user_id": text, "exclude": [text], "session": [{"item_id": text}], "context": {"device": text[:64]}}
    answer = send(client, "/recommend", json.dumps(asked))
    assert answer.status_code == 200, answer.text
    assert answer.json()["user_id"] == text
    told = verdict(send(client, "/recommend", json.dumps({"user_id": "u", "filter": {"categories": [text]}})), 422)
    assert told["field"] == "filter.categories"
    event = {"user_id": text, "item_id": text, "event_type": text[:64], "event_id": text[:128]}
    stored = {"stored": 1, "unknown_items": [text], "unknown_types": [], "too_old": 0}
    assert send(client, "/events", json.dumps(event)).json() == stored
    path = "/users/" + quote(text, safe="").replace(".", "%2E")
    assert [told["item_id"] for told in client.get(path).json()["events"]] == [text]
    assert client.delete(path).json() == {"user_id": text, "forgotten": True}
    assert client.get(path).json()["events"] == []


@pytest.mark.parametrize("path", ["/users/", "/users/" + "x" * 257, "/users/" + quote("💜" * 257)])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_path_that_names_nobody(client, method, path):
    """Empty or too long."""
    assert verdict(client.request(method, path), 404, 422).get("field", "user_id") == "user_id"


@pytest.mark.parametrize("path", ["/users/%ff", "/users/%c3%28", "/users/a%ed%a0%80"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_path_that_is_no_text(client, method, path):
    """Refused: one sign in place of all such bytes would make one user of many."""
    assert verdict(client.request(method, path), 422)["field"] == "user_id"


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
def test_an_odd_path_is_whom_it_names(client, path, user):
    """And nobody else, to the last character: it is forgotten by this name."""
    assert client.get(path).json()["user_id"] == user
    assert client.delete(path).json() == {"user_id": user, "forgotten": True}


def test_ids_that_look_alike(client):
    """7 and "7" are one user; what merely looks like 7 is another."""
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
def test_ten_megabytes_are_refused(client, path):
    """Valid or not, told in advance or in chunks of no told length."""
    large = json.dumps({"user_id": "u", "exclude": ["x" * 250] * 40_000})
    for body in (large, "[" * 10_000_000):
        verdict(send(client, path, body), 413)
    method = "PUT" if path == "/items" else "POST"
    chunks = (large.encode()[at : at + 65_536] for at in range(0, len(large), 65_536))
    verdict(client.request(method, path, content=chunks, headers={"content-type": "application/json"}), 413)


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
def test_another_kind_of_body(client, path, kind):
    """415, and it is not looked at."""
    answer = send(client, path, json.dumps(BODIES[path]), **{"content-type": kind})
    verdict(answer, 415)


@pytest.mark.parametrize("path", [*BODIES, "/users/u", "/users/u/merge", "/items/i", "/status"])
@pytest.mark.parametrize("method", ["PATCH", "TRACE", "OPTIONS"])
def test_another_method(client, path, method):
    """405 with those that are allowed."""
    answer = client.request(method, path)
    verdict(answer, 405)
    assert answer.headers["allow"]


def test_of_a_key_told_twice_the_last_counts(client):
    """As JSON parsers have it; nothing breaks."""
    answer = send(client, "/recommend", '{"user_id": "a", "user_id": "b", "k": 3, "k": 4}')
    assert answer.json()["user_id"] == "b"
    assert len(answer.json()["items"]) == 4
    filters = '{"categories": ["opera"], "categories": ["drama"]}'
    assert send(client, "/recommend", f'{{"user_id": "a", "filter": {filters}}}').json()["items"]
    assert "the last value counts" in client.get("/openapi.json").json()["info"]["description"]


@pytest.mark.parametrize("line", ["x-deadline-ms: 5\r\nx-deadline-ms: 9", "x-deadline-ms: \u00b2", "x-deadline-ms: +5"])
def test_odd_deadlines(deployment, line):
    """Told twice, in another script's digits, with a sign: the field is the header."""
    connection = http.client.HTTPConnection("127.0.0.1", deployment.port, timeout=30)
    body = b'{"user_id": "u"}'
    head = f"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{line}\r\n\r\n"
    connection.connect()
    connection.sock.sendall(head.encode("latin-1") + body)
    answer = http.client.HTTPResponse(connection.sock)
    answer.begin()
    assert answer.status == 422
    assert json.loads(answer.read())["error"]["field"] == "x-deadline-ms"
    connection.close()


def test_grpc_takes_no_bytes_that_are_no_message(deployment):
    """As gRPC says, and never with a traceback."""
    with grpc.insecure_channel(f"127.0.0.1:{deployment.grpc_port}") as channel:
        for data in (b"\xff\xff\xff", b"\x08", b"\x0a\xff\xff\xff\xff\x0f"):
            call = channel.unary_unary("/tandem.v1.Recommender/Recommend")
            with pytest.raises(grpc.RpcError) as refused:
                call(data, timeout=10)
            assert refused.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)


def test_after_all_of_it_nothing_broke(client, deployment):
    """A whole answer, and no traceback in the log."""
    answer = send(client, "/recommend", '{"user_id": 4}')
    assert answer.status_code == 200
    assert answer.json()["degraded"] == []
    log = deployment.log.read_text()
    assert "Traceback" not in log
    assert " failed" not in log

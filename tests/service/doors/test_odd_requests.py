"""Odd and wrong requests: both doors refuse them with one sentence that names the field, and go on.

Most are generated from the OpenAPI document, with values at the edges of its types. Those with a sentence or a status
of their own are listed.
"""

from __future__ import annotations

import json
import math

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.http.openapi import openapi
from service.schema import verb_table
from service.schema.verb_table import VERBS, Verb
from tandem_client import RequestRefused
from tandem_client.messages import request_of
from tests.sample_data.unusual_ids import UNUSUAL_IDS
from tests.servers.both_doors import OK, BothDoors, verdict
from tests.servers.deployment import wait_for

DOCUMENT = openapi()
OPERATIONS = schemathesis.openapi.from_dict(DOCUMENT)
EXAMPLES = 200

MINE, ITEM = "odd requests", "drama-1"
TEXTS = [*UNUSUAL_IDS.values(), MINE]
WHOLE = [-1, 10**9, 2**63 - 1, -(2**63)]
IDS = [*TEXTS, *WHOLE, "x" * 257, "💜" * 257, ""]
NAMES = ["device", "categories", "year", "default", "mobile", "drama"]
"""Names and values that the live generation has."""

NUMBERS = [math.nan, math.inf, -math.inf, -0.0, 1.5, 253_402_300_799.0, 253_402_300_800.0, 1e300]
MISFITS = [None, True, 2.0, "", [], {}, ["x"], {"no such field": 1}, 2**63, "2026-02-30T00:00:00Z", "x" * 257]
"""Values of which most fields take none."""


def values(schema: dict) -> st.SearchStrategy:
    """Values at the edges of a JSON schema, within it and beyond."""
    if "$ref" in schema:
        return values(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if choices := schema.get("anyOf") or (schema.get("oneOf") if "properties" not in schema else None):
        return st.one_of(*(values(each) for each in choices if each.get("type") != "null"))
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], "fast"])
    least, most = schema.get("minimum", 0), schema.get("maximum", 10)
    return {
        "string": lambda: st.sampled_from([ITEM, *NAMES, *TEXTS, "x" * (schema.get("maxLength", 256) + 1), ""]),
        "integer": lambda: st.sampled_from(WHOLE if most > 10**9 else [least - 1, least, most, most + 1]),
        "number": lambda: st.sampled_from(NUMBERS),
        "boolean": st.booleans,
        "array": lambda: _lists(values(schema["items"]), schema["maxItems"]),
        "object": lambda: _objects(schema),
    }[schema["type"]]()


def _lists(entries: st.SearchStrategy, most: int) -> st.SearchStrategy:
    """Short lists, full ones, and lists with one entry too many."""
    full = st.builds(lambda entry, count: [entry] * count, entries, st.sampled_from([most, most + 1]))
    return st.one_of(st.lists(entries, min_size=1, max_size=2), st.lists(entries, min_size=1, max_size=2), full)


def _objects(schema: dict) -> st.SearchStrategy:
    """Objects with the fields that have to be there and up to two others; one field may be left out, or be a misfit."""
    if "properties" not in schema:  # with one name at most: a map of the proto has no order of names
        return st.dictionaries(st.sampled_from([*NAMES, *TEXTS]), values(schema["additionalProperties"]), max_size=1)
    fields = {name: values(each) for name, each in schema["properties"].items()}
    right = st.fixed_dictionaries({name: fields[name] for name in schema.get("required", ())})
    for _ in range(2):
        more = st.sampled_from(sorted(fields)).flatmap(lambda name: st.fixed_dictionaries({name: fields[name]}))
        right = st.builds(dict.__or__, right, more)
    name = st.sampled_from(sorted(fields))
    without = st.builds(lambda made, gone: {each: made[each] for each in made if each != gone}, right, name)
    misfit = st.builds(lambda made, at, value: made | {at: value}, right, name, st.sampled_from(MISFITS))
    return st.one_of(right, right, right, without, misfit)


def body_schema(verb: Verb) -> dict | None:
    """The schema of a body; of /events that of the list, because the proto has no other."""
    if not verb.has_body:
        return None
    if verb is verb_table.EVENTS:
        return {"$ref": "#/components/schemas/EventsRequest"}
    operation = DOCUMENT["paths"][verb.path][verb.method.lower()]
    return operation["requestBody"]["content"]["application/json"]["schema"]


def requests_of(verb: Verb) -> st.SearchStrategy:
    """The values of a request of a verb."""
    # Users and items of the generation are in no path: others use this deployment.
    named = [name for name in ("user_id", "item_id") if f"{{{name}}}" in verb.path]
    # A second deletion of an item does not find it, so that the doors would differ: only unknown items are deleted.
    ids = [f"never put {each}" for each in IDS] if verb is verb_table.FORGET_ITEM else IDS
    ids = [*TEXTS, *WHOLE] if verb.has_body else ids  # over HTTP a path is checked before the body
    path = st.fixed_dictionaries(dict.fromkeys(named, st.sampled_from(ids)))
    return st.builds(dict.__or__, values(body_schema(verb)), path) if verb.has_body else path


REQUESTS = st.sampled_from([verb for verb in VERBS if verb is not verb_table.STATUS]).flatmap(
    lambda verb: st.tuples(st.just(verb), requests_of(verb))
)


@pytest.fixture(scope="module")
def doors(deployment):
    opened = BothDoors(deployment)
    yield opened
    unknown = next(text for text in TEXTS if text.isalpha())
    for each in [*IDS, ITEM]:  # later tests expect them to be unknown
        if each != ITEM:
            opened.answer(verb_table.FORGET, b"", {"user_id": each})
        opened.answer(verb_table.FORGET_ITEM, b"", {"item_id": each})
    wait_for(lambda: OK not in opened.verdicts(verb_table.RECOMMEND, {"filter": {"categories": [unknown]}}))
    opened.close()


def has_absent(value: object) -> bool:
    """Whether there is a null or an empty list in a value: the proto takes either for a field that is left out. An
    empty body is one event over HTTP.
    """
    if isinstance(value, (dict, list)):
        return value in ([], {}) or any(map(has_absent, value.values() if isinstance(value, dict) else value))
    return value is None


def sentence_of(error: dict, body: dict) -> None:
    """Check an error: it has the one shape, a short sentence, and a field that is in the body or missing there."""
    assert set(error) <= {"code", "message", "field"}
    assert error["code"] in {"invalid", "not_found"}
    assert error["message"].endswith(".")
    assert 10 < len(error["message"]) < 500
    *parents, _ = error["field"].split(".")
    at = body
    for parent in parents:
        if isinstance(at, dict) and parent not in at:
            break  # a name with a dot
        at = at[int(parent)] if isinstance(at, list) else at[parent]
    assert isinstance(at, (dict, list))


def cases(verb: Verb, *bodies: dict) -> list[tuple[Verb, dict]]:
    return [(verb, body) for body in bodies]


ONCE_WRONG = [
    *cases(
        verb_table.RECOMMEND,
        {"user_id": "u", "user_ids": ["v"]},
        {"user_ids": ["v"], "session": [{"item_id": ITEM}]},
        {"user_ids": ["a"] * 101},
        {"exclude": [*range(1_001)]},
        {"session": [{"item_id": ITEM}] * 101},
        {"context": {"device": ""}},
        {"context": {str(number): "" for number in range(9)}},
        {"filter": {"categories": True}},
        {"filter": {"year": {"lt": 5, "gte": 6}}},
        {"filter": {"year": {"lt": math.nan}}},
        {"filter": {"year": {}}},
        {"filter": {"categories": {"gt": 3}}},
        {"arms": {"nothing": "new"}},
    ),
    *cases(verb_table.RANK, {"items": [*range(1_001)]}, {"items": ["a"], "k": 501}, {"items": ["a", True]}),
    *cases(verb_table.EVENTS, {"events": [{"user_id": MINE, "item_id": ITEM}, {"user_id": MINE}]}),
    *cases(verb_table.EVENTS, {"events": [{"user_id": MINE, "item_id": ITEM}] * 1_001}),
    *cases(verb_table.EVENTS, {"events": [{"user_id": MINE, "item_id": ITEM, "timestamp": 1e300}]}),
    *cases(
        verb_table.ITEMS,
        {"items": [{"item_id": MINE, "columns": {"year": "late"}}]},
        {"items": [{"item_id": MINE, "columns": {"year": True}}]},
        {"items": [{"item_id": MINE, "title": "x" * 512, "categories": ["y" * 256] * 16}]},
        {"items": [{"item_id": number} for number in range(1_001)]},
    ),
    *cases(verb_table.MERGE, {"user_id": "7", "into": 7}),
    *cases(verb_table.SIMILAR, {"item_id": "no such item"}, {"item_id": ITEM, "filter": {"price": {"lt": 5}}}),
]
"""Requests whose verdict once differed between the doors, or had no field."""


def each_example(test):
    for request in ONCE_WRONG:
        test = example(request_=request)(test)
    return test


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@each_example
@given(request_=REQUESTS)
def test_both_doors_give_one_verdict_that_the_document_allows(doors, request_):
    """No 5xx. What the schema forbids is refused, and every answer is as the document describes it."""
    verb, body = request_
    answer = doors.answer(verb, json.dumps(body).encode(), body)
    found = verdict(answer)
    OPERATIONS[verb.path][verb.method].validate_response(answer)
    if found != OK:
        sentence_of(found, body)
    sent = {name: value for name, value in body.items() if f"{{{name}}}" not in verb.path}
    if verb.has_body and not jsonschema.Draft202012Validator(DOCUMENT | body_schema(verb)).is_valid(sent):
        assert found != OK, body
    try:
        message = request_of(verb.rpc, body).SerializeToString()
    except RequestRefused:
        assert found != OK  # the proto can't hold it
        return
    over_grpc = doors.grpc(verb, message)
    if has_absent(body):
        assert over_grpc["code"] in {"ok", "invalid", "not_found"}
    else:
        assert over_grpc == found


SENTENCES = [
    ({"colour": "red"}, "colour", "There is no field of this name; remove it."),
    ({"filter": {"categories": ["a"] * 65}}, "filter.categories", "Send at most 64 entries."),
    ({"filter": {"categories": []}}, "filter.categories", "Send at least 1 entry."),
    ({"filter": {"categories": ["Dramma"]}}, "filter.categories", "No item has the value 'Dramma'; there is drama."),
    ({"filter": {"": ["a"]}}, "filter", "An empty text or name is not allowed; send at least 1 character."),
    (
        {"context": {"devise": "mobile"}},
        "context.devise",
        "The live generation has no context column of this name; it has device.",
    ),
    ({"user_ids": ["v"]}, "user_id", "Name one user in user_id or several in user_ids, not both."),
    (
        {"filter": {"categories": [True]}},
        "filter.categories.0",
        "A list holds texts of 1 to 256 characters and finite numbers of 64 bits; send true or false without a list.",
    ),
]


@pytest.mark.parametrize(("more", "field", "message"), SENTENCES, ids=[message[:20] for _, _, message in SENTENCES])
def test_an_error_is_a_sentence_with_the_fix(doors, more, field, message):
    """The sentence has the limit or the remedy in plain words."""
    body = {"user_id": "u"} | more
    error = doors.http(verb_table.RECOMMEND, json.dumps(body).encode(), body)
    assert error == {"code": "invalid", "field": field, "message": message}


DEEP = 10_000
NO_JSON = {
    "nothing": "",
    "no JSON": "user_id=u",
    "half a body": '{"user_id": "u"',
    "a byte order mark": "\ufeff{}",
    "no text": b"\xff\xfe\x00\x01",
    "a surrogate as bytes": '{"user_id": "\ud800"}',
    "arrays in arrays": "[" * DEEP + "]" * DEEP,
    "an open string": '{"user_id": "' + "x" * 100_000,
    "a list": "[]",
    "a number beyond the doubles": '{"k": 1e400, "items": [1e400]}',
    "a number of 5,000 digits": '{"k": ' + "9" * 5_000 + ', "items": [' + "9" * 5_000 + "]}",
}
BODIES = [verb for verb in VERBS if verb.has_body and "{" not in verb.path]


@pytest.mark.parametrize("name", NO_JSON)
def test_a_body_that_is_no_json_or_no_object_is_refused(doors, name):
    """On every verb that takes a body."""
    data = NO_JSON[name] if isinstance(NO_JSON[name], bytes) else NO_JSON[name].encode("utf-8", "surrogatepass")
    for verb in BODIES:
        answer = doors.answer(verb, data)
        assert answer.status_code in {400, 422}, verb
        error = verdict(answer)
        assert set(error) <= {"code", "message", "field"}
        assert 5 < len(error["message"]) < 500


def test_a_body_of_ten_megabytes_is_refused_unparsed(doors):
    """At both doors; groups in groups are no message either."""
    for verb in BODIES:
        data = b" " * 10_000_000
        assert doors.http(verb, data) == doors.grpc(verb, data)
        assert doors.http(verb, data)["code"] == "too_large"
        assert doors.grpc(verb, b"\x7b" * DEEP)["code"] == "not_protobuf"


DEADLINES = [[""], ["0"], ["-1"], ["+5"], ["1.5"], ["1e3"], ["soon"], ["1000000"], ["9" * 5_000], ["500", "5"]]
TIMED = {
    verb_table.RECOMMEND: {"user_id": MINE},
    verb_table.SIMILAR: {"item_id": ITEM},
    verb_table.EXPLAIN: {"user_id": MINE, "item_id": ITEM},
    verb_table.RANK: {"items": [ITEM]},
}
UNTIMED = {verb_table.USER: {"user_id": MINE}, verb_table.EVENTS: {"events": [{"user_id": MINE, "item_id": ITEM}]}}


def test_a_wrong_deadline_is_refused_before_anything_else(doors):
    """With the name of the header. Verbs without a deadline ignore the header."""
    for deadline in DEADLINES:
        for verb, body in TIMED.items():
            for values in (body, body | {"k": 0}):
                over_http, over_grpc = doors.verdicts(verb, values, deadline)
                assert over_http == over_grpc
                assert over_http["field"] == "x-deadline-ms"
    for verb, body in UNTIMED.items():
        assert doors.verdicts(verb, body, ["soon"]) == (OK, OK)


def test_after_all_these_requests_the_deployment_works(doors, deployment):
    """A complete answer at both doors, and no failure in the log."""
    assert doors.verdicts(verb_table.RECOMMEND, {"user_id": 4}) == (OK, OK)
    log = deployment.log.read_text()
    assert "Traceback" not in log
    assert " failed" not in log

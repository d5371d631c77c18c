"""HTTP and gRPC give the same verdict, word for word, on every request that both can carry."""

from __future__ import annotations

import math

import pytest

from service.schema import verb_table
from tests.sample_data.unusual_ids import UNUSUAL_IDS
from tests.servers.both_doors import OK, BothDoors
from tests.servers.deployment import wait_for

WHOLE = [0, 1, -1, 101, 10**9, 2**63 - 1, -(2**63)]
NUMBERS = [math.nan, math.inf, -math.inf, -1.0, -0.0, 0.0, 1.5, 9e10, 253_402_300_799.0, 253_402_300_800.0, 1e300]
TEXTS = UNUSUAL_IDS | {
    "empty": "",
    "257": "x" * 257,
    "257 beyond 16 bits": "💜" * 257,
    "65": "x" * 65,
    "129": "x" * 129,
}
USER, ITEM = {"user_id": "two-doors"}, {"item_id": "drama-1"}


def recommend(**more):
    return verb_table.RECOMMEND, USER | more


def similar(**more):
    return verb_table.SIMILAR, ITEM | more


def explain(**more):
    return verb_table.EXPLAIN, USER | ITEM | more


def rank(**more):
    return verb_table.RANK, USER | {"items": ["drama-1", "opera-1"]} | more


def event(**more):
    return verb_table.EVENTS, {"events": [USER | ITEM | more]}


def item(**more):
    return verb_table.ITEMS, {"items": [{"item_id": "two-doors", "available": False} | more]}


PLACES_OF_TEXT = {
    "recommend a user": lambda text: recommend(user_id=text),
    "recommend one of several": lambda text: (verb_table.RECOMMEND, {"user_ids": ["a", text]}),
    "recommend excluded": lambda text: recommend(exclude=[7, text]),
    "recommend in session": lambda text: recommend(session=[{"item_id": text}]),
    "recommend type in session": lambda text: recommend(session=[ITEM | {"event_type": text}]),
    "recommend context": lambda text: recommend(context={"device": text}),
    "recommend context's name": lambda text: recommend(context={text: "mobile"}),
    "recommend filter": lambda text: recommend(filter={"categories": [text]}),
    "recommend filter's name": lambda text: recommend(filter={text: ["drama"]}),
    "recommend mode": lambda text: recommend(mode=text),
    "similar item": lambda text: similar(item_id=text),
    "similar user": lambda text: similar(user_id=text),
    "similar surface": lambda text: similar(surface=text),
    "explain user": lambda text: explain(user_id=text),
    "explain item": lambda text: explain(item_id=text),
    "recommend surface": lambda text: recommend(surface=text),
    "rank user": lambda text: rank(user_id=text),
    "rank item": lambda text: rank(items=["drama-1", text]),
    "rank surface": lambda text: rank(surface=text),
    "event user": lambda text: event(user_id=text),
    "event item": lambda text: event(item_id=text),
    "event type": lambda text: event(event_type=text),
    "event id": lambda text: event(event_id=text),
    "event context": lambda text: event(context={"device": text}),
    "event context's name": lambda text: event(context={text: "mobile"}),
    "item": lambda text: item(item_id=text),
    "item title": lambda text: item(title=text),
    "item category": lambda text: item(categories=[text]),
    "item column": lambda text: item(columns={"year": text}),
    "item column's name": lambda text: item(columns={text: 1}),
    "one item": lambda text: (verb_table.ITEM, {"item_id": text}),
    "forget item": lambda text: (verb_table.FORGET_ITEM, {"item_id": f"never put {text}"}),
    "user": lambda text: (verb_table.USER, {"user_id": text}),
    "forget": lambda text: (verb_table.FORGET, {"user_id": text}),
    "merge": lambda text: (verb_table.MERGE, {"user_id": text, "into": "two-doors"}),
    "merge into": lambda text: (verb_table.MERGE, {"user_id": "two-doors", "into": text}),
}

PLACES_OF_WHOLE = {
    "recommend k": lambda number: recommend(k=number),
    "similar k": lambda number: similar(k=number),
    "rank items": lambda number: rank(items=[number, str(number)]),
    "recommend a user": lambda number: recommend(user_id=number),
    "recommend excluded": lambda number: recommend(exclude=[number, str(number)]),
    "similar item": lambda number: similar(item_id=number),
    "explain user": lambda number: explain(user_id=number),
    "event": lambda number: event(user_id=number, item_id=number),
    "item": lambda number: item(item_id=number),
    "merge into": lambda number: (verb_table.MERGE, {"user_id": "two-doors", "into": number}),
}

PLACES_OF_NUMBERS = {
    "event": lambda number: event(timestamp=number),
    "recommend in session": lambda number: recommend(session=[ITEM | {"timestamp": number}]),
    "item column": lambda number: item(columns={"year": number}),
}

LISTS = {
    "a visitor": (verb_table.RECOMMEND, {}),
    "a visitor's session": (verb_table.RECOMMEND, {"session": [ITEM], "mode": "batch"}),
    "a visitor's slate explained": (verb_table.EXPLAIN, ITEM | {"session": [ITEM]}),
    "nothing like": (verb_table.SIMILAR, {}),
    "one and several": recommend(user_ids=["a"]),
    "100 users": (verb_table.RECOMMEND, {"user_ids": ["a"] * 100}),
    "a session of several": (verb_table.RECOMMEND, {"user_ids": ["a"], "session": [ITEM]}),
    "1,000 excluded": recommend(exclude=list(range(1_000))),
    "100 in session": recommend(session=[ITEM] * 100),
    "101 in session": explain(session=[ITEM] * 101),
    "a context of nothing": recommend(context={"device": ""}),
    "64 values": recommend(filter={"categories": ["x"] * 64}),
    "no value": explain(filter={"categories": []}),
    "a reversed range": recommend(filter={"year": {"lt": 5, "gte": 6}}),
    "a truth of numbers": recommend(filter={"year": True}),
    "a range of texts": recommend(filter={"categories": {"gt": 3}}),
    "an unknown column": explain(filter={"price": {"gt": 3}}),
    "an unknown event type": event(event_type=""),
    "a text as a number": item(columns={"year": "late"}),
    "nothing to rank": (verb_table.RANK, {}),
    "500 to rank": rank(items=[*range(499), "drama-1"]),
    "501 to rank": rank(items=[*range(501)]),
    "1,001 to rank": rank(items=[*range(1_001)]),
    "501 of the ranked": rank(k=501),
    "1,000 events": (verb_table.EVENTS, {"events": [USER | ITEM | {"event_id": "one"}] * 1_000}),
    "1,001 events": (verb_table.EVENTS, {"events": [USER | ITEM] * 1_001}),
    "the last event is wrong": (verb_table.EVENTS, {"events": [USER | ITEM, USER]}),
    "merged into itself": (verb_table.MERGE, {"user_id": "7", "into": 7}),
    "no categories": item(categories=[]),
    "an item of 8 KB": item(categories=["x" * 256] * 32),
}

DEADLINES = [[""], ["0"], ["-1"], ["+5"], ["1.5"], ["1e3"], ["soon"], ["nan"], ["1000000"], ["9" * 5_000], ["500", "5"]]


@pytest.fixture(scope="module")
def doors(deployment):
    opened = BothDoors(deployment)
    yield opened
    for text in ("two-doors", *TEXTS.values(), *map(str, WHOLE)):  # later files expect their texts to be unknown
        opened.http(verb_table.FORGET, b"", {"user_id": text})
        opened.http(verb_table.FORGET_ITEM, b"", {"item_id": text})
    wait_for(lambda: OK not in opened.verdicts(*recommend(filter={"categories": [TEXTS["latin"]]})))
    opened.close()


def alike(verdicts):
    """The verdict of both doors: it has the one shape of errors, and a sentence."""
    http, rpc = verdicts
    assert http == rpc
    if http != OK:
        assert set(http) <= {"code", "message", "field"}
        assert http["message"].endswith(".")
        assert 10 < len(http["message"]) < 300
    return http


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("place", PLACES_OF_TEXT)
def test_text(doors, place, name):
    """Of every script and every length, at each place of a text."""
    alike(doors.verdicts(*PLACES_OF_TEXT[place](TEXTS[name])))


@pytest.mark.parametrize("number", WHOLE)
@pytest.mark.parametrize("place", PLACES_OF_WHOLE)
def test_whole_numbers(doors, place, number):
    """As k and as ids. A k out of bounds is an error of the field k."""
    verdict = alike(doors.verdicts(*PLACES_OF_WHOLE[place](number)))
    if place.endswith(" k"):
        assert (verdict == OK) == (1 <= number <= 100)
        assert verdict.get("field", "k") == "k"


@pytest.mark.parametrize("number", NUMBERS, ids=str)
@pytest.mark.parametrize("place", PLACES_OF_NUMBERS)
def test_numbers(doors, place, number):
    """As times and as values. A number that is not finite is an error of its field."""
    verdict = alike(doors.verdicts(*PLACES_OF_NUMBERS[place](number)))
    if not math.isfinite(number):
        assert verdict["field"].rpartition(".")[2] in {"timestamp", "year"}


@pytest.mark.parametrize("name", LISTS)
def test_lists(doors, name):
    """Empty, full, with one entry too many, and with far too many."""
    alike(doors.verdicts(*LISTS[name]))


@pytest.mark.parametrize("values", DEADLINES, ids=lambda values: ",".join(values)[:12])
@pytest.mark.parametrize("verb", [recommend, similar, explain, rank])
def test_wrong_deadlines(doors, verb, values):
    """They are refused before anything else, with the name of the header."""
    for request in (verb(), verb(k=0)):
        assert alike(doors.verdicts(*request, values))["field"] == "x-deadline-ms"


@pytest.mark.parametrize("verb", [event, item, lambda: (verb_table.USER, USER), lambda: (verb_table.FORGET, USER)])
def test_verbs_without_a_deadline_ignore_the_header(doors, verb):
    """Also a wrong header."""
    assert alike(doors.verdicts(*verb(), ["soon"])) == OK


@pytest.mark.parametrize("verb", [recommend, similar, explain, rank, event, item])
def test_ten_megabytes(doors, verb):
    """They are refused unparsed."""
    row, _ = verb()
    data = b" " * 10_000_000
    assert alike((doors.http(row, data), doors.grpc(row, data)))["code"] == "too_large"


def test_groups_in_groups_are_no_message(doors):
    """10,000 deep, as JSON of that depth: both parsers refuse the request with a clear error."""
    for verb, _ in (recommend(), similar(), explain(), rank(), event(), item()):
        deep = doors.http(verb, b"[" * 10_000)
        assert doors.grpc(verb, b"\x7b" * 10_000)["code"] == "not_protobuf"
        assert deep["code"] == "not_json"


def test_after_all_tests_the_deployment_works(doors, deployment):
    """A complete answer at both doors, and no failure in the log."""
    assert alike(doors.verdicts(*recommend())) == OK
    log = deployment.log.read_text()
    assert "Traceback" not in log
    assert " failed" not in log

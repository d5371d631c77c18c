"""Two doors, one verdict: whatever both can carry is judged word for word alike, and nothing breaks by it."""

from __future__ import annotations

import math
import time

import pytest

from service.schema import verbs
from tests.sample_data.unusual_ids import UNUSUAL_IDS
from tests.servers.both_doors import OK, BothDoors

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
    return verbs.RECOMMEND, USER | more


def similar(**more):
    return verbs.SIMILAR, ITEM | more


def explain(**more):
    return verbs.EXPLAIN, USER | ITEM | more


def event(**more):
    return verbs.EVENTS, {"events": [USER | ITEM | more]}


def item(**more):
    return verbs.ITEMS, {"items": [{"item_id": "two-doors", "available": False} | more]}


PLACES_OF_TEXT = {
    "recommend a user": lambda text: recommend(user_id=text),
    "recommend one of several": lambda text: (verbs.RECOMMEND, {"user_ids": ["a", text]}),
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
    "similar excluded": lambda text: similar(exclude=[text]),
    "similar filter": lambda text: similar(filter={"categories": [text]}),
    "similar filter's name": lambda text: similar(filter={text: ["drama"]}),
    "explain user": lambda text: explain(user_id=text),
    "explain item": lambda text: explain(item_id=text),
    "explain in session": lambda text: explain(session=[{"item_id": text}]),
    "explain context": lambda text: explain(context={"device": text}),
    "explain filter": lambda text: explain(filter={"categories": [text]}),
    "explain mode": lambda text: explain(mode=text),
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
    "one item": lambda text: (verbs.ITEM, {"item_id": text}),
    "forget item": lambda text: (verbs.FORGET_ITEM, {"item_id": f"never put {text}"}),
    "user": lambda text: (verbs.USER, {"user_id": text}),
    "forget": lambda text: (verbs.FORGET, {"user_id": text}),
    "merge": lambda text: (verbs.MERGE, {"user_id": text, "into": "two-doors"}),
    "merge into": lambda text: (verbs.MERGE, {"user_id": "two-doors", "into": text}),
}

PLACES_OF_WHOLE = {
    "recommend k": lambda whole: recommend(k=whole),
    "similar k": lambda whole: similar(k=whole),
    "explain k": lambda whole: explain(k=whole),
    "recommend a user": lambda whole: recommend(user_id=whole),
    "recommend excluded": lambda whole: recommend(exclude=[whole, str(whole)]),
    "similar item": lambda whole: similar(item_id=whole),
    "similar user": lambda whole: similar(user_id=whole),
    "explain item": lambda whole: explain(item_id=whole),
    "explain user": lambda whole: explain(user_id=whole),
    "event": lambda whole: event(user_id=whole, item_id=whole),
    "item": lambda whole: item(item_id=whole),
    "merge into": lambda whole: (verbs.MERGE, {"user_id": "two-doors", "into": whole}),
}

PLACES_OF_NUMBERS = {
    "event": lambda number: event(timestamp=number),
    "recommend in session": lambda number: recommend(session=[ITEM | {"timestamp": number}]),
    "explain in session": lambda number: explain(session=[ITEM | {"timestamp": number}]),
    "item column": lambda number: item(columns={"year": number}),
}

LISTS = {
    "a visitor": (verbs.RECOMMEND, {}),
    "a visitor's session": (verbs.RECOMMEND, {"session": [ITEM], "mode": "batch"}),
    "a visitor's slate explained": (verbs.EXPLAIN, ITEM | {"session": [ITEM]}),
    "nothing to explain": (verbs.EXPLAIN, {}),
    "nothing like": (verbs.SIMILAR, {}),
    "no items": (verbs.ITEMS, {}),
    "one and several": recommend(user_ids=["a"]),
    "100 users": (verbs.RECOMMEND, {"user_ids": ["a"] * 100}),
    "101 users": (verbs.RECOMMEND, {"user_ids": ["a"] * 101}),
    "a session of several": (verbs.RECOMMEND, {"user_ids": ["a"], "session": [ITEM]}),
    "1,000 excluded": recommend(exclude=list(range(1_000))),
    "1,001 excluded": recommend(exclude=list(range(1_001))),
    "1,001 excluded from likes": similar(exclude=["x"] * 1_001),
    "10,000 excluded": explain(exclude=["x"] * 10_000),
    "100 in session": recommend(session=[ITEM] * 100),
    "101 in session": explain(session=[ITEM] * 101),
    "nothing in session": recommend(session=[{}]),
    "9 contexts": recommend(context={str(number): "" for number in range(9)}),
    "a context of nothing": recommend(context={"device": ""}),
    "9 filters": similar(filter={str(number): ["x"] for number in range(9)}),
    "64 values": recommend(filter={"categories": ["x"] * 64}),
    "65 values": recommend(filter={"categories": ["x"] * 65}),
    "no value": explain(filter={"categories": []}),
    "1,000 events": (verbs.EVENTS, {"events": [USER | ITEM | {"event_id": "one"}] * 1_000}),
    "1,001 events": (verbs.EVENTS, {"events": [USER | ITEM] * 1_001}),
    "an event in 9 contexts": event(context={str(number): "" for number in range(9)}),
    "the last event is wrong": (verbs.EVENTS, {"events": [USER | ITEM, USER]}),
    "merged into itself": (verbs.MERGE, {"user_id": "7", "into": 7}),
    "1,001 items": (verbs.ITEMS, {"items": [ITEM] * 1_001}),
    "33 categories": item(categories=["x"] * 33),
    "no categories": item(categories=[]),
    "33 columns": item(columns={str(number): 1 for number in range(33)}),
    "an item of 8 KB": item(categories=["x" * 256] * 32),
}

DEADLINES = [[""], ["0"], ["-1"], ["+5"], ["1.5"], ["1e3"], ["soon"], ["nan"], ["1000000"], ["9" * 5_000], ["500", "5"]]


@pytest.fixture(scope="module")
def doors(deployment):
    opened = BothDoors(deployment)
    yield opened
    for text in ("two-doors", *TEXTS.values(), *map(str, WHOLE)):  # later files expect their texts to be unknown
        opened.http(verbs.FORGET, b"", {"user_id": text})
        opened.http(verbs.FORGET_ITEM, b"", {"item_id": text})
    end = time.monotonic() + 30
    while OK in opened.verdicts(*recommend(filter={"categories": [TEXTS["latin"]]})):
        assert time.monotonic() < end
        time.sleep(0.1)
    opened.close()


def alike(verdicts):
    """The verdict of both doors: of the one shape, a sentence where it is an error."""
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
    """Of every script and every length, wherever a request holds text."""
    alike(doors.verdicts(*PLACES_OF_TEXT[place](TEXTS[name])))


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize("place", PLACES_OF_WHOLE)
def test_whole_numbers(doors, place, whole):
    """As k and as ids; a k out of bounds is told of as k."""
    told = alike(doors.verdicts(*PLACES_OF_WHOLE[place](whole)))
    if place.endswith(" k"):
        assert (told == OK) == (1 <= whole <= 100)
        assert told.get("field", "k") == "k"


@pytest.mark.parametrize("number", NUMBERS, ids=str)
@pytest.mark.parametrize("place", PLACES_OF_NUMBERS)
def test_numbers(doors, place, number):
    """As times and as values; what is not finite is refused with the field."""
    told = alike(doors.verdicts(*PLACES_OF_NUMBERS[place](number)))
    if not math.isfinite(number):
        assert told["field"].rpartition(".")[2] in {"timestamp", "year"}


@pytest.mark.parametrize("moment", [9e9, 1.7e12, 1e300], ids=str)
@pytest.mark.parametrize("place", ["event", "recommend in session", "explain in session"])
def test_a_time_to_come(doors, place, moment):
    """Milliseconds among them: the sentence says what to send."""
    told = alike(doors.verdicts(*PLACES_OF_NUMBERS[place](moment)))
    assert (
        told["message"] == "The timestamp lies in the future; send unix seconds, or an ISO 8601 time with its offset."
    )
    assert told["field"] == ("events" if place == "event" else "session") + ".0.timestamp"


@pytest.mark.parametrize("name", LISTS)
def test_lists(doors, name):
    """Empty, full, one too many, and far too many."""
    alike(doors.verdicts(*LISTS[name]))


@pytest.mark.parametrize("told", DEADLINES, ids=lambda told: ",".join(told)[:12])
@pytest.mark.parametrize("verb", [recommend, similar, explain])
def test_deadlines_that_are_none(doors, verb, told):
    """Refused before anything else is looked at, by the header's name."""
    for request in (verb(), verb(k=0)):
        assert alike(doors.verdicts(*request, told))["field"] == "x-deadline-ms"


@pytest.mark.parametrize("verb", [event, item, lambda: (verbs.USER, USER), lambda: (verbs.FORGET, USER)])
def test_a_deadline_where_none_is_asked_for(doors, verb):
    """Nobody looks at it."""
    assert alike(doors.verdicts(*verb(), ["soon"])) == OK


@pytest.mark.parametrize("verb", [recommend, similar, explain, event, item])
def test_ten_megabytes(doors, verb):
    """Not looked at, whatever they are."""
    asked, _ = verb()
    data = b" " * 10_000_000
    assert alike((doors.http(asked, data), doors.grpc(asked, data)))["code"] == "too_large"


def test_groups_in_groups_are_no_message(doors):
    """10,000 deep, as JSON of that depth: both parsers refuse it with a clear error."""
    for verb, _ in (recommend(), similar(), explain(), event(), item()):
        deep = doors.http(verb, b"[" * 10_000)
        assert doors.grpc(verb, b"\x7b" * 10_000)["code"] == "not_protobuf"
        assert deep["code"] == "not_json"


def test_after_all_of_it_nothing_broke(doors, deployment):
    """A whole answer at both doors, and nothing in the log that failed."""
    assert alike(doors.verdicts(*recommend())) == OK
    log = deployment.log.read_text()
    assert "Traceback" not in log
    assert " failed" not in log

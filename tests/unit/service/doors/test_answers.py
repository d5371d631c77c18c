"""A slate as JSON and as a message."""

import json
import math
from copy import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.retrieval.registry import names_of
from recsys.types import Event, Source
from service.generations.served import ServedGeneration
from service.grpc import convert
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.recommend.query import Degraded, Query
from service.schema import Mode
from service.verbs import answer_models
from tandem_client import answers as client_answers
from tandem_client import messages


@pytest.fixture(scope="module")
def served(tiny_world):
    return ServedGeneration.load(tiny_world[0])


@pytest.fixture
def query(served):
    found = Query(served, "u", 3, 0.0)
    found.set_candidates(
        np.array([4, 0, 2], np.int32),
        np.array([0.123456, np.nan, -1e-9], np.float32),
        np.array([Source.TOWER | Source.EASE, 0, Source.TRENDING], np.uint16),
    )
    found.scores = np.array([2.0, 1 / 3, -7.00004], np.float32)
    found.words, found.removed = {0: ("pin",)}, {"seen": 2}
    found.made_by, found.degraded = Mode.HYBRID, [Degraded.STORE, Degraded.RANKING]
    found.session = [Event("u", item, 1.0) for item in ("drama-1", "opera-1", 7, "opera-1", "7%")]
    return found


def as_json(query):
    """The body of an HTTP answer."""
    return answer_models.slate(query).model_dump_json()


def as_message(query):
    """The fields that a gRPC client reads of a slate."""
    data = convert.message_of(pb.Slate, answer_models.slate(query)).SerializeToString()
    values = messages.values_of(pb.Slate.FromString(data))
    return client_answers.RecommendResponse.model_validate(values).model_dump()


def test_a_slate_is_the_same_as_json_and_as_a_message(query):
    """With rounded scores, None for a missing score, and all other fields."""
    slate = json.loads(as_json(query))
    assert slate == as_message(query)
    assert [item["item_id"] for item in slate["items"]] == [query.generation.item_id(row) for row in (4, 0, 2)]
    assert [item["score"] for item in slate["items"]] == [2.0, 0.3333, -7.0]
    assert [item["tower_score"] for item in slate["items"]] == [0.1235, None, -0.0]
    assert [item["sources"] for item in slate["items"]] == [["tower", "ease"], [], ["trending"]]
    assert [item["rules"] for item in slate["items"]] == [[], ["pin"], []]
    assert slate["degraded"] == ["store", "ranking"]
    assert slate["unknown_items"] == ["opera-1", 7, "7%"]
    assert (slate["mode"], slate["removed"], slate["user_id"]) == ("hybrid", {"seen": 2}, "u")


def test_a_slate_may_be_empty_and_of_a_visitor(served):
    """Both doors answer with it."""
    for query in (Query(served, 7, 3, 0.0), Query(served, None, 3, 0.0)):
        assert json.loads(as_json(query)) == as_message(query)
        assert (as_message(query)["user_id"], as_message(query)["items"]) == (query.user_id, [])


class FakeGeneration:
    """A generation with these ids and titles."""

    id = "g"

    def __init__(self, items):
        self._items = items

    def item_id(self, row):
        return self._items[row][0]

    def title(self, row):
        return self._items[row][1]


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ids = text | st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(width=32)


@settings(deadline=None)
@given(
    ids, st.lists(st.tuples(ids, text, numbers, numbers, st.integers(0, 255), st.lists(text, max_size=2)), max_size=4)
)
def test_any_ids_titles_and_scores_are_the_same_as_json_and_as_a_message(user, items):
    """Quotes and percent signs, and scores that are not finite."""
    query = Query(FakeGeneration(items), user, len(items), 0.0)
    scores, tower, sources = (
        np.array([item[at] for item in items], kind) for at, kind in ((2, "f4"), (3, "f4"), (4, "u1"))
    )
    query.set_candidates(np.arange(len(items), dtype=np.int32), tower, sources)
    query.scores = scores
    query.words = {row: tuple(item[5]) for row, item in enumerate(items) if item[5]}
    body, message = json.loads(as_json(query)), as_message(query)
    assert body["user_id"] == message["user_id"] == user
    assert body["items"] == [_as_json(item) for item in message["items"]]
    for item, (item_id, title, score, _, flags, rules) in zip(message["items"], items, strict=True):
        assert (item["item_id"], item["title"], item["rules"]) == (item_id, title, rules)
        assert item["sources"] == list(names_of(flags))
        rounded = float(np.round(np.float64(np.float32(score)), 4))
        assert item["score"] == rounded or math.isnan(rounded)


def _as_json(item):
    """JSON has null for a number that is not finite."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in item.items()
    }


def test_a_title_that_was_put_is_shown(query, served):
    """The generation keeps its own title."""
    put = PutItem(served.item_id(4), 1, 1, 9e9, title="Another name", title_at=9e9)
    renamed = copy(query)
    renamed.generation = served.with_items(PutItems("e", 1, (put,)))
    assert answer_models.slate(renamed).items[0].title == "Another name"
    assert answer_models.slate(query).items[0].title == served.title(4)

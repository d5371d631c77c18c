"""What the doors say of a slate is what its model says, as JSON and as a message."""

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
from service import schema
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


def expected(query):
    """By the model, one by one."""
    rows = zip(query.items.tolist(), query.scores, query.tower, query.sources.tolist(), strict=True)
    items = [
        schema.ScoredItem(
            item_id=query.generation.item_id(row),
            title=query.generation.title(row),
            score=round(float(score), 4),
            tower_score=None if np.isnan(tower) else round(float(tower), 4),
            sources=list(names_of(sources)),
            rules=list(query.words.get(row, ())),
        )
        for row, score, tower, sources in rows
    ]
    return schema.RecommendResponse(
        user_id=query.user_id,
        items=items,
        generation=query.generation.id,
        mode=query.made_by.value,
        history=len(query.history[0]),
        removed=query.removed,
        degraded=[stage.value for stage in query.degraded],
        unknown_items=query.unknown_items,
        unknown_types=query.unknown_types,
    )


def as_json(query):
    """The body of an HTTP answer."""
    return answer_models.slate(query).model_dump_json()


def as_message(query):
    """All that a gRPC client reads of a slate."""
    data = convert.message_of(pb.Slate, answer_models.slate(query)).SerializeToString()
    values = messages.values_of(pb.Slate.FromString(data))
    return client_answers.RecommendResponse.model_validate(values).model_dump()


def test_a_slate_is_as_its_model_says(query):
    """No field is forgotten, none is of another kind, and the JSON is what the model would have written."""
    told = expected(query)
    assert as_json(query) == told.model_dump_json()
    assert as_message(query) == told.model_dump()
    assert [item.score for item in told.items] == [2.0, 0.3333, -7.0]
    assert [item.tower_score for item in told.items] == [0.1235, None, -0.0]
    assert [item.sources for item in told.items] == [["tower", "ease"], [], ["trending"]]
    assert [item.rules for item in told.items] == [[], ["pin"], []]
    assert told.degraded == ["store", "ranking"]
    assert told.unknown_items == ["opera-1", 7, "7%"]


def test_a_slate_may_be_empty_or_a_visitors(served):
    """Both doors answer both."""
    for query in (Query(served, 7, 3, 0.0), Query(served, None, 3, 0.0)):
        assert as_json(query) == expected(query).model_dump_json()
        assert as_message(query) == expected(query).model_dump()


class Wild:
    """A generation whose items are called so."""

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
def test_whatever_items_are_called_and_scored(user, items):
    """Percent signs and quotes, any ids, numbers that are none: what JSON and the message say is the same."""
    query = Query(Wild(items), user, len(items), 0.0)
    scores, tower, sources = (
        np.array([item[at] for item in items], kind) for at, kind in ((2, "f4"), (3, "f4"), (4, "u1"))
    )
    query.set_candidates(np.arange(len(items), dtype=np.int32), tower, sources)
    query.scores = scores
    query.words = {row: tuple(item[5]) for row, item in enumerate(items) if item[5]}
    told, message = json.loads(as_json(query)), as_message(query)
    assert told["user_id"] == message["user_id"] == user
    assert told["items"] == [_as_json(item) for item in message["items"]]
    for said, (item_id, title, score, _, flags, rules) in zip(message["items"], items, strict=True):
        assert (said["item_id"], said["title"], said["rules"]) == (item_id, title, rules)
        assert said["sources"] == list(names_of(flags))
        rounded = float(np.round(np.float64(np.float32(score)), 4))
        assert said["score"] == rounded or math.isnan(rounded)


def _as_json(item):
    """JSON has no word for a number that is none."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in item.items()
    }


def test_a_title_that_was_put_is_shown(query, served):
    """Where the old one was shown before, which stays with the generation as it was."""
    put = PutItem(served.item_id(4), 1, 1, 9e9, title="Another name", title_at=9e9)
    renamed = copy(query)
    renamed.generation = served.with_items(PutItems("e", 1, (put,)))
    assert answer_models.slate(renamed).items[0].title == "Another name"
    assert answer_models.slate(query).items[0].title == served.title(4)

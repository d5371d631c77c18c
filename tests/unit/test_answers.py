"""A slate's values, which nobody checks when they are told, are what its model has."""

import json
from copy import copy

import numpy as np
import pytest
from pydantic_core import to_json

from recsys.items import PutItem, PutItems
from recsys.types import Source
from service import answers, schema
from service.query import Degraded, Query
from service.schema import Mode
from service.served import SHOWN, ServedGeneration


@pytest.fixture(scope="module")
def served(tiny_world):
    return ServedGeneration.load(tiny_world[0])


@pytest.fixture
def query(served):
    found = Query(served, "u", 3, 0.0)
    found.set_candidates(
        np.array([4, 0, 2], np.int32),
        np.array([0.123456, np.nan, -1e-9], np.float32),
        np.array([Source.TOWER | Source.EASE, 0, Source.TRENDING], np.uint8),
    )
    found.scores = np.array([2.0, 1 / 3, -7.00004], np.float32)
    found.words, found.removed = {0: ("pin",)}, {"seen": 2}
    found.made_by, found.degraded = Mode.HYBRID, [Degraded.STORE, Degraded.RANKING]
    return found


def test_a_slate_is_as_its_model_says(query, served):
    """No field is forgotten, none is of another kind, and the JSON is what the model would have written."""
    told = answers.slate(query)
    model = schema.RecommendResponse.model_validate_json(to_json(told), strict=True)
    assert told.keys() == schema.RecommendResponse.model_fields.keys()
    assert {*map(tuple, told["items"])} == {tuple(schema.ScoredItem.model_fields)}
    assert to_json(told).decode() == model.model_dump_json()
    assert json.loads(to_json(told)) == model.model_dump()
    assert [item.item_id for item in model.items] == [served.item_id(row) for row in (4, 0, 2)]
    assert [item.title for item in model.items] == [served.title(row) for row in (4, 0, 2)]
    assert [item.score for item in model.items] == [2.0, 0.3333, -7.0]
    assert [item.tower_score for item in model.items] == [0.1235, None, -0.0]
    assert [item.sources for item in model.items] == [["tower", "ease"], [], ["trending"]]
    assert [item.rules for item in model.items] == [[], ["pin"], []]
    assert model.degraded == ["store", "ranking"]


def test_what_is_no_number_is_null(query):
    """As the model writes it: JSON has no word for it."""
    query.scores, query.tower = np.array([np.inf, np.nan, -np.inf], np.float32), np.full(3, np.inf, np.float32)
    told = to_json(answers.slate(query), inf_nan_mode="null")
    assert [item["score"] for item in json.loads(told)["items"]] == [None] * 3
    assert [item["tower_score"] for item in json.loads(told)["items"]] == [None] * 3


def test_a_title_that_was_put_is_shown(served):
    """Where the old one was shown before, which stays with the generation as it was."""
    item, before = served.item_id(3), dict(served.shown(3))
    renamed = served.with_items(PutItems("e", 1, (PutItem(item, 1, 1, 9e9, title="Another name", title_at=9e9),)))
    assert renamed.shown(3) == {"item_id": item, "title": "Another name"}
    assert served.shown(3) == before


def test_what_is_kept_of_items_is_bounded(served, monkeypatch):
    """A catalogue of millions is not kept as strings by every gateway."""
    monkeypatch.setattr("service.served.SHOWN", 3)
    assert SHOWN > 3
    served = copy(served)
    served.__dict__["_shown"] = {}
    for row in range(5):
        assert served.shown(row) == {"item_id": served.item_id(row), "title": served.title(row)}
        assert len(served._shown) <= 3

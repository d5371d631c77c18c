"""Answers that are made without a look at each field are what looking would have made."""

import pytest

from service import schema
from service.answers import _made

ITEM = {"item_id": 7, "title": "A", "score": 0.5, "tower_score": None, "sources": ["tower"], "rules": []}
SLATE = {
    "user_id": "u",
    "items": [schema.ScoredItem(**ITEM)],
    "generation": "g",
    "mode": "realtime",
    "history": 3,
    "removed": {"seen": 2},
    "degraded": [],
}

SET = {"__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"}
"""What `_made` gives a model, which is all that it has."""


@pytest.mark.parametrize(("kind", "values"), [(schema.ScoredItem, ITEM), (schema.RecommendResponse, SLATE)])
def test_an_answer_is_as_if_it_had_been_validated(kind, values):
    """Equal, with the same JSON, fields and copies; a newer pydantic may keep more than these four."""
    validated, made = kind(**values), _made(kind, dict(values))
    assert made == validated
    assert made.model_dump_json() == validated.model_dump_json()
    assert made.model_fields_set == validated.model_fields_set
    assert made.model_copy(deep=True) == validated
    assert validated.__getstate__().keys() == SET


@pytest.mark.parametrize(("kind", "values"), [(schema.ScoredItem, ITEM), (schema.RecommendResponse, SLATE)])
def test_no_field_is_forgotten(kind, values):
    """What `slate` writes by hand has to name them all."""
    assert values.keys() == kind.model_fields.keys()

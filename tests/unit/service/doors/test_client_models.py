"""The client, which does not import the deployment's schema, can send each of its fields.

`test_client.py` has the fields of answers.
"""

import inspect
from typing import get_args, get_type_hints

import pytest

from service import schema
from service.schema import verb_table
from tandem_client import calls
from tandem_client.requests import Event, Item, Mode, SessionEvent


@pytest.mark.parametrize("ours", [SessionEvent, Event, Item], ids=lambda kind: kind.__name__)
def test_what_is_sent_has_the_fields_that_the_deployment_takes(ours):
    """By name, with the same fields required."""
    theirs = getattr(schema, ours.__name__).model_fields
    assert list(ours.model_fields) == list(theirs)
    assert [f.is_required() for f in ours.model_fields.values()] == [f.is_required() for f in theirs.values()]
    assert list(Mode) == list(schema.Mode)


VERBS = {
    "recommend": (calls.RECOMMEND, verb_table.RECOMMEND, {"user_ids"}),
    "recommend_many": (calls.RECOMMEND_MANY, verb_table.RECOMMEND, {"user_id", "session"}),
    "similar": (calls.SIMILAR, verb_table.SIMILAR, set()),
    "explain": (calls.EXPLAIN, verb_table.EXPLAIN, set()),
    "rank": (calls.RANK, verb_table.RANK, set()),
    "add_events": (calls.EVENTS, verb_table.EVENTS, set()),
    "put_items": (calls.ITEMS, verb_table.ITEMS, set()),
    "item": (calls.ITEM, verb_table.ITEM, set()),
    "forget_item": (calls.FORGET_ITEM, verb_table.FORGET_ITEM, set()),
    "user": (calls.USER, verb_table.USER, set()),
    "forget": (calls.FORGET, verb_table.FORGET, set()),
    "merge": (calls.MERGE, verb_table.MERGE, set()),
    "status": (calls.STATUS, verb_table.STATUS, set()),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_method_takes_what_the_verb_takes(name):
    """The same method and path, the same answer, and a parameter for each field."""
    ours, theirs, absent = VERBS[name]
    assert (ours.rpc, ours.method, ours.path) == (theirs.rpc, theirs.method, theirs.path)
    assert ours.gives.__name__ in {kind.__name__ for kind in theirs.gives}
    parameters = inspect.signature(getattr(calls, name)).parameters
    taken = set(parameters) - {"deadline", "fields"}
    if "fields" in parameters:  # Unpack[a TypedDict]
        (fields,) = get_args(get_type_hints(getattr(calls, name))["fields"])
        taken |= set(fields.__annotations__)
    assert taken == set(theirs.takes.model_fields) - absent


def test_no_verb_is_missing():
    """Every verb of the deployment has a method."""
    assert {verb for _, verb, _ in VERBS.values()} == set(verb_table.VERBS)

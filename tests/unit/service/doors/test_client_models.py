"""The models and verbs of the client have the fields of the deployment's schema, which the client does not import."""

import inspect
from typing import get_args, get_type_hints

import pytest
from pydantic import BaseModel, TypeAdapter

import tandem_client.answers
import tandem_client.requests
from service import schema
from service.schema import verb_table
from tandem_client import calls


def models(module):
    return [
        kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, BaseModel) and kind.__module__ == module.__name__ and not name.startswith("_")
    ]


ANSWERS = models(tandem_client.answers)
SENT = models(tandem_client.requests)


def kinds(field):
    """The JSON types that a field takes, without limits and descriptions, nested ones too."""
    made = TypeAdapter(list[field.annotation]).json_schema()["items"]

    def kind(part):
        if "$ref" in part:
            return part["$ref"].rsplit("/", 1)[-1]
        if "anyOf" in part:
            return frozenset(kind(each) for each in part["anyOf"])
        if part.get("type") == "array":
            return ("array", kind(part["items"]))
        if part.get("type") == "object" and isinstance(part.get("additionalProperties"), dict):
            return ("object", kind(part["additionalProperties"]))
        return part.get("type")

    return kind(made)


@pytest.mark.parametrize("ours", ANSWERS, ids=lambda kind: kind.__name__)
def test_an_answer_has_the_fields_of_the_deployments(ours):
    """Names and types of all fields."""
    theirs = getattr(schema, ours.__name__)
    assert ours.model_fields.keys() == theirs.model_fields.keys()
    for name, field in ours.model_fields.items():
        sent = kinds(theirs.model_fields[name])
        without = frozenset({sent, "null"})  # what an older server leaves out
        assert kinds(field) in (sent, without), f"{ours.__name__}.{name}"


def test_no_answer_is_missing():
    """The client has every model of the deployment's answers."""
    theirs = {kind.__name__ for kind in (*models(schema.answers), *models(schema.errors))}
    assert {kind.__name__ for kind in ANSWERS} == theirs


@pytest.mark.parametrize("ours", SENT, ids=lambda kind: kind.__name__)
def test_what_is_sent_has_the_fields_that_the_deployment_takes(ours):
    """By name, with the same fields required."""
    theirs = getattr(schema, ours.__name__).model_fields
    assert list(ours.model_fields) == list(theirs)
    assert [f.is_required() for f in ours.model_fields.values()] == [f.is_required() for f in theirs.values()]
    assert list(tandem_client.requests.Mode) == list(schema.Mode)


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

"""The client's own models and verbs against the deployment's schema, which the client does not import."""

import inspect

import pytest
from pydantic import BaseModel, TypeAdapter

import tandem_client.answers
import tandem_client.requests
from service import schema
from service.http.openapi import GIVES
from service.schema import verbs
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
    """The types of JSON that a field takes, without limits and descriptions: "string", "integer", nested ones too."""
    made = TypeAdapter(field.annotation).json_schema()

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
    """Names and types, field by field; a field that the client lacks is missing from what its users see."""
    theirs = getattr(schema, ours.__name__)
    assert ours.model_fields.keys() == theirs.model_fields.keys()
    for name, field in ours.model_fields.items():
        assert kinds(field) == kinds(theirs.model_fields[name]), f"{ours.__name__}.{name}"


def test_no_answer_is_missing():
    """Every model that an answer of the deployment is made of."""
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
    "recommend": (calls.RECOMMEND, verbs.RECOMMEND, {"user_ids"}),
    "recommend_many": (calls.RECOMMEND_MANY, verbs.RECOMMEND, {"user_id", "session"}),
    "similar": (calls.SIMILAR, verbs.SIMILAR, set()),
    "explain": (calls.EXPLAIN, verbs.EXPLAIN, set()),
    "add_events": (calls.EVENTS, verbs.EVENTS, set()),
    "put_items": (calls.ITEMS, verbs.ITEMS, set()),
    "item": (calls.ITEM, verbs.ITEM, set()),
    "forget_item": (calls.FORGET_ITEM, verbs.FORGET_ITEM, set()),
    "user": (calls.USER, verbs.USER, set()),
    "forget": (calls.FORGET, verbs.FORGET, set()),
    "merge": (calls.MERGE, verbs.MERGE, set()),
    "status": (calls.STATUS, verbs.STATUS, set()),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_method_takes_what_the_verb_takes(name):
    """The same place at both doors, the same answer, and a parameter for each field."""
    ours, theirs, absent = VERBS[name]
    assert (ours.rpc, ours.method, ours.path) == (theirs.rpc, theirs.method, theirs.path)
    assert ours.gives.__name__ in {kind.__name__ for kind in GIVES[theirs]}
    taken = set(inspect.signature(getattr(calls, name)).parameters) - {"deadline"}
    assert taken == set(theirs.takes.model_fields) - absent


def test_no_verb_is_missing():
    """Every verb of the deployment has a method."""
    theirs = [verb for verb in vars(verbs).values() if isinstance(verb, verbs.Verb)]
    assert {verb for _, verb, _ in VERBS.values()} == set(theirs)

"""Messages and JSON of the same request get the same verdict."""

import json

import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.errors import QueryError
from service.grpc import convert
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.schema import verb_table
from service.schema.errors import query_error
from service.schema.verb_table import VERBS
from tandem_client import answers, messages
from tests.fakes.fake_recommender import STATUS, slate

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["click", "x" * 65, "x" * 257])
integers = st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 101)
ids = text | integers
number = st.floats() | st.integers(-(2**53), 2**53).map(float)
context = st.dictionaries(text, text, max_size=1)
bounds = st.fixed_dictionaries({}, optional=dict.fromkeys(("lt", "lte", "gt", "gte"), number))
filters = st.dictionaries(text, st.lists(text | number, max_size=2) | st.booleans() | bounds, max_size=1)
session_event = st.fixed_dictionaries({}, optional={"item_id": ids, "event_type": text, "timestamp": number})
event = st.fixed_dictionaries(
    {},
    optional={"user_id": ids, "item_id": ids, "event_type": text, "timestamp": number, "event_id": text}
    | {"context": context},
)
item = st.fixed_dictionaries(
    {},
    optional={
        "item_id": ids,
        "title": text,
        "categories": st.lists(text, max_size=2),
        "available": st.booleans(),
        "columns": st.dictionaries(text, text | number | st.booleans(), max_size=1),
    },
)
slate_fields = {
    "user_id": ids,
    "k": integers,
    "session": st.lists(session_event, max_size=2),
    "exclude": st.lists(ids, max_size=2),
    "context": context,
    "filter": filters,
    "mode": text | st.sampled_from(["auto", "batch"]),
}
requests = st.one_of(
    st.tuples(
        st.just(verb_table.RECOMMEND),
        st.fixed_dictionaries({}, optional=slate_fields | {"user_ids": st.lists(ids, min_size=1, max_size=2)}),
    ),
    st.tuples(st.just(verb_table.EXPLAIN), st.fixed_dictionaries({}, optional=slate_fields | {"item_id": ids})),
    st.tuples(
        st.just(verb_table.SIMILAR),
        st.fixed_dictionaries(
            {},
            optional={"item_id": ids, "user_id": ids, "k": integers, "exclude": st.lists(ids, max_size=2)}
            | {"filter": filters},
        ),
    ),
    st.tuples(st.just(verb_table.EVENTS), st.fixed_dictionaries({"events": st.lists(event, max_size=2)})),
    st.tuples(st.just(verb_table.ITEMS), st.fixed_dictionaries({"items": st.lists(item, max_size=2)})),
    st.tuples(st.just(verb_table.MERGE), st.fixed_dictionaries({}, optional={"user_id": ids, "into": ids})),
    st.tuples(st.just(verb_table.ITEM), st.fixed_dictionaries({}, optional={"item_id": ids})),
    st.tuples(st.just(verb_table.USER), st.fixed_dictionaries({}, optional={"user_id": ids})),
)


def takes(verb):
    return GetMessageClass(SERVICE.methods_by_name[verb.rpc].input_type)


def verdict(validate, data):
    """The parsed request, or the error."""
    try:
        return validate(data)
    except ValidationError as error:
        refused = query_error(error)
        return str(refused), refused.field, refused.code


@given(requests)
def test_a_message_gets_the_verdict_of_its_json(request_):
    """The same parsed request, or the same sentence about the same field, for all values that a message can hold."""
    verb, values = request_
    message = convert.parse(takes(verb), messages.request_of(verb.rpc, values).SerializeToString())
    sent = {name: value for name, value in values.items() if value not in ([], {})}
    over_json = verdict(verb.takes.model_validate_json, json.dumps(sent))
    assert verdict(verb.takes.model_validate, convert.values_of(message)) == over_json


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.rpc)
def test_the_proto_has_the_fields_of_the_schema(verb):
    """A field in one of the two alone would be lost."""
    method = SERVICE.methods_by_name[verb.rpc]
    assert set(method.input_type.fields_by_name) - {convert.CONDITIONS} == set(verb.takes.model_fields)
    gives = method.output_type.fields_by_name
    gives = gives["slates"].message_type.fields_by_name if verb is verb_table.RECOMMEND else gives
    assert set(gives) == set(verb.gives[0].model_fields)


def test_the_proto_has_every_verb():
    """The proto has no other method."""
    assert set(SERVICE.methods_by_name) == {verb.rpc for verb in VERBS}


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (pb.Slate, slate("you")),
        (pb.Slate, slate(-7)),
        (pb.StatusResponse, STATUS),
    ],
    ids=["text", "number", "status"],
)
def test_an_answer_is_unchanged_by_its_message(kind, answer):
    """None, zero and empty values, and numbers in free data."""
    message = kind.FromString(convert.message_of(kind, answer.model_dump()).SerializeToString())
    read = getattr(answers, type(answer).__name__).model_validate(messages.values_of(message))
    assert read.model_dump() == answer.model_dump()


def test_a_column_in_both_fields_of_a_filter_is_refused():
    """`filter` and `conditions` are one filter, so one of the two conditions would be ignored."""
    message = pb.RecommendRequest(
        filter={"price": pb.Texts(values=["x"])}, conditions={"price": pb.Condition(truth=True)}
    )
    with pytest.raises(QueryError, match="once") as refused:
        convert.values_of(message)
    assert refused.value.field == "filter.price"


@pytest.mark.parametrize("size", [3, 3.0])
def test_a_whole_number_in_a_column_is_the_same_at_both_doors(size):
    """3 and not 3.0: a categorical column compares text."""
    values = {"items": [{"item_id": 1, "columns": {"size": size, "weight": 2.5}}]}
    message = convert.parse(pb.PutItemsRequest, messages.request_of("PutItems", values).SerializeToString())
    rpc = verb_table.ITEMS.takes.model_validate(convert.values_of(message))
    http = verb_table.ITEMS.takes.model_validate_json(json.dumps(values))
    for request in (rpc, http):
        assert [repr(value) for value in request.items[0].columns.values()] == ["3", "2.5"]

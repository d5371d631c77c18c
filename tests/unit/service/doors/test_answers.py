"""Requests and slates as JSON and as messages of gRPC."""

import json

import numpy as np
import pytest

from recsys.errors import QueryError
from recsys.slates.freshness import Freshness
from recsys.slates.query import Degraded, Query
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Event, Source
from service.grpc import convert
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.schema import Mode, verb_table
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
    found.freshness = Freshness(model=3600.04, list=12.0, event=0.26)
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
    assert slate["freshness"] == {"model": 3600.0, "list": 12.0, "trending": None, "event": 0.3}
    assert (slate["mode"], slate["removed"], slate["user_id"]) == ("hybrid", {"seen": 2}, "u")


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

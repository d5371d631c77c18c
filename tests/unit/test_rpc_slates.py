"""Slates written as bytes are what the library would have written."""

import math

from hypothesis import given
from hypothesis import strategies as st

from service.rpc import convert, slates
from service.rpc.tandem.v1 import recommender_pb2 as pb

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
words = st.lists(text, max_size=3)
ids = text | st.integers(-(2**63), 2**63 - 1)
item = st.fixed_dictionaries(
    {
        "item_id": ids,
        "title": text,
        "score": st.floats(),
        "tower_score": st.none() | st.floats(),
        "sources": words,
        "rules": words,
    }
)
slate = st.fixed_dictionaries(
    {
        "user_id": ids,
        "items": st.lists(item, max_size=4),
        "generation": text,
        "mode": st.sampled_from(["batch", "hybrid", "realtime"]),
        "history": st.integers(0, 2**31 - 1),
        "removed": st.dictionaries(text, st.integers(0, 512), max_size=2),
        "degraded": words,
    }
)


def read(data):
    """All that a client reads of it, NaN as a word."""
    return [_plain(convert.answered(slate)) for slate in pb.RecommendResponse.FromString(data).slates]


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


@given(st.lists(slate, max_size=3))
def test_a_message_in_parts_is_the_message(told):
    """Of any ids, titles, scores and sources, whether they were met before or not, however long they are."""
    expected = convert.message_of(pb.RecommendResponse, {"slates": told}).SerializeToString()
    for _ in range(2):
        assert read(slates.encoded(told)) == read(expected)


def test_a_number_and_its_letters_are_two_items():
    """What is kept of one is not told of the other."""
    told = {"title": "", "score": 1.0, "tower_score": None, "sources": [], "rules": []}
    rest = {"user_id": 1, "generation": "g", "mode": "batch", "history": 0, "removed": {}, "degraded": []}
    items = [told | {"item_id": 7}, told | {"item_id": "7"}]
    (found,) = pb.RecommendResponse.FromString(slates.encoded([rest | {"items": items}])).slates
    assert [item.item_id.WhichOneof("kind") for item in found.items] == ["number", "text"]

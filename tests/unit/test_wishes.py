"""A request that differs from a known one by its user is read as if none was known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import QueryError
from service.grpc import convert, wishes
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.wishes import Wishes
from service.schema import RecommendRequest

ids = st.one_of(
    st.builds(lambda number: pb.Id(number=number), st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300)),
    st.builds(lambda text: pb.Id(text=text), st.text(st.characters(exclude_categories=["Cs"]), max_size=130)),
    st.just(pb.Id()),
)
users = st.builds(lambda user: pb.RecommendRequest(user_id=user).SerializeToString(), ids) | st.sampled_from(
    [
        b"",
        b"\x0a\x00",
        b"\x0a\x02\x10\x80",  # a number that goes on
        b"\x0a\x03\x10\x80\x00",  # with a byte too many
        b"\x0a\x0b\x10" + b"\xff" * 9 + b"\x01",  # -1
        b"\x0a\x0c\x10" + b"\x80" * 10 + b"\x00",
        b"\x0a\x04\x10\x07\x10\x09",  # twice
        b"\x0a\x04\x0a\x02\xff\xfe",  # no UTF-8
        b"\x0a\x05\x0a\x01a\x10\x07",
        b"\x0a\x03\x0a\x02a",  # cut short
        b"\x0a\x81\x00\x07",
        b"\x12\x02\x10\x07",  # in user_ids
        b"\x0a\x02\x18\x07",  # a field that an Id does not have
    ]
)
rests = st.sampled_from(
    [
        b"",
        b"\x18\x14",  # k
        b"\x18\x00",
        b"\x18\x14\x42\x05batch",
        b"\x0a\x02\x10\x05",  # a user again, of whom one is left
        b"\x18\x14\x0a\x02\x10\x05",
        b"\x0a\x00",
        b"\x12\x02\x10\x05",
        b"\x2a\x02\x10\x05" * 3,  # exclude
        b"\x32\x0e\x0a\x06device\x12\x04what",
        b"\x80\x01\x01",
        b"\xff",
    ]
)


def read(way, data):
    try:
        return way(data)
    except QueryError as error:
        return str(error), error.field, error.code


@settings(deadline=None)
@given(st.lists(st.tuples(users, rests), max_size=12))
def test_what_is_known_changes_nothing(requests):
    """Whatever was read before: the same request, or the same words about the same field."""
    known = Wishes()
    for user, rest in requests:
        data = user + rest
        whole = read(lambda data: convert.request(pb.RecommendRequest, RecommendRequest, data), data)
        assert read(known.read, data) == whole
        assert read(known.read, data) == whole


def test_another_user_of_a_known_request_is_not_parsed(monkeypatch):
    """Of ids in letters and in digits."""
    known = Wishes()
    first = pb.RecommendRequest(user_id=pb.Id(number=7), k=20, context={"device": "tv"})
    known.read(first.SerializeToString())
    monkeypatch.setattr(wishes, "_request", pytest.fail)
    for user, expected in ((pb.Id(number=300), 300), (pb.Id(text="Zoë"), "Zoë")):
        request = known.read(pb.RecommendRequest(user_id=user, k=20, context={"device": "tv"}).SerializeToString())
        assert request == RecommendRequest(user_id=expected, k=20, context={"device": "tv"})


def test_what_is_remembered_is_bounded():
    """In number, and in size."""
    known = Wishes()
    for k in range(1, 101):
        for mode in ("auto", "batch", "hybrid", "realtime"):
            known.read(pb.RecommendRequest(user_id=pb.Id(number=7), k=k, mode=mode).SerializeToString())
            assert len(known._known) <= wishes.MOST
    known, seven = Wishes(), pb.Id(number=7)
    many = pb.RecommendRequest(user_id=seven, context={"device": "x" * 250, "country": "y"})
    own = pb.RecommendRequest(user_id=seven, exclude=[pb.Id(text="x")])
    done = pb.RecommendRequest(user_id=seven, session=[pb.SessionEvent(item_id=seven)])
    for request in (many, own, done):
        known.read(request.SerializeToString())
    assert not known._known

"""A message whose text is no UTF-8 is refused with the name of its field."""

import pytest
from google.protobuf.message import DecodeError

from service.grpc.not_text import MOST_BYTES, not_text
from service.grpc.tandem.v1 import recommender_pb2 as pb

SOUND = pb.RecommendRequest(
    user_id=pb.Id(text="you"),
    k=3,
    session=[pb.SessionEvent(item_id=pb.Id(number=1), event_type="view"), pb.SessionEvent(item_id=pb.Id(text="BAD"))],
    exclude=[pb.Id(text="a"), pb.Id(text="OFF")],
    context={"device": "CTX", "KEY": "x"},
    filter={"genre": pb.Texts(values=["x", "FIL"])},
    mode="MOD",
    conditions={"size": pb.Condition(any_of=pb.Values(values=[pb.Value(number=1), pb.Value(text="SIZ")]))},
)
PUT = pb.PutItemsRequest(
    items=[
        pb.Item(
            item_id=pb.Id(number=1),
            title="TIT",
            categories=pb.Texts(values=["CAT"]),
            columns={"year": pb.Value(text="COL")},
        )
    ]
)


def spoiled(text: bytes, message=SOUND) -> bytes:
    """The message with a text that is no UTF-8 in place of this one."""
    data = message.SerializeToString()
    assert data.count(text) == 1
    data = data.replace(text, b"\xff\xfe\xfd")
    with pytest.raises((DecodeError, UnicodeDecodeError)):  # the latter from some versions of protobuf
        message.FromString(data)
    return data


@pytest.mark.parametrize(
    ("message", "text", "field"),
    [
        (SOUND, b"you", "user_id"),
        (SOUND, b"BAD", "session.1.item_id"),
        (SOUND, b"OFF", "exclude.1"),
        (SOUND, b"CTX", "context.device"),
        (SOUND, b"KEY", "context"),
        (SOUND, b"FIL", "filter.genre.1"),
        (SOUND, b"MOD", "mode"),
        (SOUND, b"SIZ", "filter.size"),
        (PUT, b"TIT", "items.0.title"),
        (PUT, b"CAT", "items.0.categories.0"),
        (PUT, b"COL", "items.0.columns.year"),
    ],
)
def test_the_field_is_named(message, text, field):
    """As errors of the schema name it."""
    assert not_text(message.DESCRIPTOR, spoiled(text, message)) == field


def test_what_the_parser_takes_for_no_part_of_a_list_has_no_place_in_it():
    """A number where an id belongs is an unknown field."""
    assert not_text(pb.RecommendRequest.DESCRIPTOR, b"\x28\x01" + spoiled(b"OFF")) == "exclude.1"


@pytest.mark.parametrize(
    "data",
    [
        SOUND.SerializeToString() + "ä".encode(),
        pb.RecommendRequest(mode="ä").SerializeToString(),
        b"\xff\xff\xff",
        SOUND.SerializeToString()[:-1],
        b"\x7a\x02\xff\xfe",  # a field that the proto does not have
        b"\x12\x02\xff\xfe",  # a message that is none
        b"\x1a\x02\xff\xfe",  # a number as bytes
        b"\x40\xff\x01",  # a text as a number
        b"\x43\x08\xff\x01\x44",  # a text as a group
    ],
    ids=range(9),  # of the bytes they would differ from worker to worker: a map has no order
)
def test_nothing_is_named_where_no_text_is_wrong(data):
    """What else is wrong with it is the parser's to say."""
    assert not_text(pb.RecommendRequest.DESCRIPTOR, data) == ""


@pytest.mark.parametrize(("more", "field"), [(0, "mode"), (1, "")])
def test_what_is_large_is_not_looked_through(more, field):
    """It would hold everybody else up."""
    data = spoiled(b"MOD")
    room = MOST_BYTES + more - len(data) - 3
    data += b"\x7a" + bytes([room & 0x7F | 0x80, room >> 7]) + bytes(room)
    assert len(data) == MOST_BYTES + more
    assert not_text(pb.RecommendRequest.DESCRIPTOR, data) == field

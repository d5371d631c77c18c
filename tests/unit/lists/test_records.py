"""Stored records: user records, lists and impressions come back as they were, or are refused."""

from pathlib import Path

import numpy as np
import pytest

from recsys.lists.impression import Impression
from recsys.lists.record_format import RecordFormat
from recsys.lists.similar_list import SimilarList
from recsys.lists.user_list import UserList
from recsys.lists.user_record import UserRecord
from recsys.types import Source

RELEASED = Path(__file__).parents[2] / "released" / "impressions"
COUNT = 3
FLAGS = np.array([Source.TOWER | Source.TRENDING, 1 << 8, 1 << 15 | Source.EASE], np.uint16)
ROWS, SCORES = np.arange(COUNT, dtype=np.int32), np.arange(COUNT, dtype=np.float32)
ARMS = {"wider": "b"}
PLACES, FEATURES = ROWS.astype(np.int16), np.ones((COUNT, 2), np.float32)
RECORDS = (
    UserRecord(ROWS, np.arange(3.0), np.zeros(3, np.uint8), np.arange(5, dtype=np.int32), ROWS[:2], np.arange(5.0)),
    UserList(1.5, 2**32 - 1, ROWS, FLAGS, SCORES),
    SimilarList(1.5, ROWS, FLAGS, SCORES, SCORES[::-1]),
    Impression(
        "g1",
        "\ud800",
        1.25,
        1.5,
        "batch",
        [7, "b", ""],
        PLACES,
        SCORES,
        FLAGS,
        FEATURES,
        "home",
        ARMS,
        {"device": "tv"},
        False,
        "shop",
        ("own_price", "gap_price"),
        ARMS | {"away": "a"},
    ),
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_and_a_damaged_one_is_refused(record):
    """All fields are equal. One flipped bit anywhere is an error."""
    blob = record.pack()
    again = type(record).unpack(blob)
    for name in type(record).__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(record, name))
    for at in range(len(blob)):
        broken = bytearray(blob)
        broken[at] ^= 4
        with pytest.raises(ValueError, match="damaged"):
            type(record).unpack(bytes(broken))
    with pytest.raises(ValueError, match="damaged"):
        type(record).unpack(blob[:-1])


def test_a_record_of_another_version_is_refused():
    """The mark has the version."""
    old, new = (RecordFormat("list", mark, ["i4"]) for mark in (b"lst1", b"lst2"))
    with pytest.raises(ValueError, match=r"the list has format b'lst1'; this code reads b'lst2'"):
        new.unpack(old.pack(ROWS))


@pytest.mark.parametrize(("file", "arms"), [("ranked", {"look": "new", "other": "control"}), ("fell_back", {})])
def test_an_impression_of_the_release_before_can_be_read(file, arms):
    """It has the arms that served the slate; which arms were assigned is not known."""
    again = Impression.unpack((RELEASED / f"{file}.bin").read_bytes())
    assert (again.items, again.surface, again.context, again.dataset) == (["a", "b"], "home", {"device": "tv"}, "shop")
    assert (again.arms, again.assigned, again.exploration) == (arms, None, None)

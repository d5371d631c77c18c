"""The compiled kernel makes the slate that filters and selection make."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.lists.user_record import UserRecord
from recsys.rules import CompiledRules, Rules
from recsys.slates import slate
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration

PICKED = slate._pick
ROWS = 20


@pytest.fixture(scope="module")
def served(tiny_world):
    found = ServedGeneration.load(tiny_world[0])
    assert len(found.tables) > ROWS
    hidden = [PutItem(found.item_id(row), 1, 1, 9e9, available=False) for row in (1, 5)]
    return {"without puts": found, "with items hidden": found.with_items(PutItems("e", 1, tuple(hidden)))}


def made(query, pick):
    """The slate, and whether the kernel made it."""
    query, picked = copy(query), []
    query.removed = dict(query.removed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slate, "_pick", lambda query: picked.append(pick(query)) or picked[-1])
        slate.make_slate(query)
    return query, picked == [True]


rows = st.lists(st.integers(0, ROWS - 1), max_size=8, unique=True)


@settings(max_examples=200, deadline=None)
@given(
    world=st.sampled_from(["without puts", "with items hidden"]),
    candidates=st.permutations(range(ROWS)),
    # Few distinct scores, so that many are alike.
    scores=st.lists(st.sampled_from([-1.5, 0.0, 0.25, 0.5, 3.0]), min_size=ROWS, max_size=ROWS),
    k=st.integers(1, 25),
    seen=rows,
    since=rows,
    excluded=rows,
    exclude_seen=st.sampled_from([True, False, "dataset"]),
    hide=st.booleans(),
)
def test_the_kernel_makes_the_same_slate(
    served, world, candidates, scores, k, seen, since, excluded, exclude_seen, hide
):
    """Items, scores, sources and counts, for all seen, excluded and hidden items."""
    generation = served[world]
    query = Query(generation, "u", k, 0.0, rules=CompiledRules(Rules(exclude_seen=exclude_seen, hide_unavailable=hide)))
    items = np.array(candidates, np.int32)
    query.set_candidates(items, np.linspace(-1, 1, ROWS, dtype=np.float32), (items * 7 % 1024).astype(np.uint16))
    query.scores = np.array(scores, np.float32)
    query.record = replace(UserRecord.empty(), seen=np.array(seen, np.int32))
    query.past = np.array(since, np.int32), np.zeros(len(since)), np.zeros(len(since), np.uint8)
    query.excluded = np.array(excluded, np.int32)
    (one, picked), (other, _) = (made(query, pick) for pick in (PICKED, lambda _: False))
    for name in ("items", "scores", "tower", "sources"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert getattr(one, name).dtype == getattr(other, name).dtype
        assert getattr(one, name).flags.carray
    assert (one.removed, one.words, one.passed_over) == (other.removed, other.words, other.passed_over)
    assert picked == ("top_up" not in str(other.words) and len(other.items) == k)

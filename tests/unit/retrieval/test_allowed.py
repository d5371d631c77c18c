"""Packed filters, and candidates among the items that a filter leaves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.filters.allowed_items import AllowedItems
from recsys.filters.compiled_conditions import FILTER_WORDS, NumberMatch, TokenMatch, packed, unpacked
from recsys.retrieval.retriever import Retriever
from recsys.types import PAD, Source
from tests.sample_data.put_items import hide, item, putting

tokens = st.builds(lambda each: TokenMatch(tuple(sorted(each))), st.sets(st.integers(1, 2**31 - 1), max_size=12))
numbers = st.floats(allow_nan=False)
points = st.sets(numbers, min_size=1, max_size=4).map(lambda each: tuple((point, point) for point in sorted(each)))
ranges = st.tuples(numbers, numbers).map(lambda each: (tuple(sorted(each)),))
number_matches = st.builds(NumberMatch, st.integers(0, 50), points | ranges)


@given(st.lists(tokens | number_matches, max_size=8))
@settings(max_examples=100, deadline=None)
def test_unpacked_is_the_inverse_of_packed(matches):
    """Each condition comes back to the bit, and the row does not depend on the order of the conditions."""
    row = packed(matches)
    assert (row.shape, row.dtype) == ((FILTER_WORDS,), np.int32)
    assert sorted(unpacked(row), key=repr) == sorted(matches, key=repr)
    np.testing.assert_array_equal(row, packed(matches[::-1]))


def having_one(*tokens):
    return TokenMatch(tuple(sorted(tokens)))


@pytest.fixture(scope="module")
def scene(tiny_world):
    folder, log = tiny_world
    return Retriever.load(folder), folder, log.final_histories(np.arange(40))


def token(folder, text):
    return folder.spec().token_rows[text]


def having(folder, text):
    return np.flatnonzero(np.isin(folder.tables().content, token(folder, text)).any(axis=1))


def test_no_condition_leaves_all_items_and_a_condition_without_tokens_leaves_none(scene):
    """A text that no item has becomes a match without tokens."""
    allowed = AllowedItems(scene[1].tables())
    everything, nothing = allowed.of(np.stack([packed([]), packed([TokenMatch(())])]))
    assert everything is None
    assert nothing.count == 0


def test_every_source_brings_only_allowed_items(scene):
    """Queries with a filter get the filter's items; the other queries of the batch get the bits they get alone."""
    retriever, folder, histories = scene
    tables = folder.tables()
    filters = np.zeros((len(histories), FILTER_WORDS), np.int32)
    for row in range(0, len(histories), 2):
        filters[row] = packed([having_one(token(folder, "categories=drama"))])
    extra = np.full((len(histories), 32), PAD, np.int32)
    extra[:, :2] = np.flatnonzero(np.asarray(tables.available))[[3, 60]]
    plain, found = retriever.retrieve(histories, extra), retriever.retrieve(histories, extra, filters)
    dramas = having(folder, "categories=drama")
    brought = Source(0)
    for row, history in enumerate(histories.items):
        if row % 2:
            for field in ("items", "tower", "sources"):
                np.testing.assert_array_equal(getattr(found, field)[row], getattr(plain, field)[row])
            continue
        real = found.items[row] != PAD
        assert set(found.items[row, real].tolist()) == set(dramas.tolist()) - set(history.tolist())
        assert (np.diff(found.tower[row, real]) <= 0).all()
        brought |= Source(int(np.bitwise_or.reduce(found.sources[row])))
    assert brought & Source.POPULAR
    assert brought & Source.COVISIT


def test_filters_apply_to_items_put_since(scene):
    """New and hidden items pass the filter; queries without a filter get what they get alone."""
    retriever, folder, histories = scene
    tables = folder.tables()
    hidden = int(having(folder, "categories=drama")[0])
    puts = putting(
        item("new-drama", 1, "drama"),
        item("new-comedy", 2, "comedy"),
        item("hidden-drama", 3, "drama", available=False),
        hide(tables.ids[hidden], 4),
    )
    n, filters = len(tables), np.zeros((len(histories), FILTER_WORDS), np.int32)
    filters[::2] = packed([having_one(token(folder, "categories=drama"))])
    before = retriever.retrieve(histories, None, filters)
    joined = retriever.with_items(puts)
    found, plain = joined.retrieve(histories, None, filters), joined.retrieve(histories)
    allowed = {*np.flatnonzero(np.isin(tables.content, token(folder, "categories=drama")).any(axis=1)), n + 1} - {
        hidden
    }
    for row, history in enumerate(histories.items):
        real = found.items[row] != PAD
        if row % 2:
            np.testing.assert_array_equal(found.items[row], plain.items[row])
            np.testing.assert_array_equal(found.tower[row], plain.tower[row])
        else:
            assert hidden in before.items[row] or hidden in history
            assert set(found.items[row, real].tolist()) == allowed - set(history.tolist())


def test_similar_items_pass_the_filter(scene):
    """All items of the filter are found, except the item itself."""
    retriever, folder, _ = scene
    dramas, comedy = having(folder, "categories=drama"), int(having(folder, "categories=comedy")[0])
    found, _ = retriever.similar(comedy, packed([having_one(token(folder, "categories=drama"))])[None])
    assert set(found.items[0][found.items[0] != PAD].tolist()) == set(dramas.tolist())

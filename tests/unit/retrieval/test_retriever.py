"""Candidates by brute force: of all sources, and among the items that a packed filter leaves."""

import numpy as np
import pytest

from recsys.filters.compiled_conditions import FILTER_WORDS, TokenMatch, packed
from recsys.model import features
from recsys.retrieval.retriever import Retriever
from recsys.retrieval.sources.popular import SOURCE as POPULAR
from recsys.types import PAD, Source
from tests.sample_data.put_items import hide, putting
from tests.sample_data.put_items import item as put_item


@pytest.fixture(scope="module")
def scene(tiny_world):
    folder, log = tiny_world
    return Retriever.load(folder), folder.tables(), log.final_histories(np.arange(40))


def test_candidates_are_distinct_available_unseen_and_ordered(scene):
    """Whatever the sources bring, a candidate stands once, with the tower's score falling."""
    retriever, tables, histories = scene
    found = retriever.retrieve(histories)
    for row, (items, history) in enumerate(zip(found.items, histories.items, strict=True)):
        real = items[items != PAD]
        assert len(set(real.tolist())) == len(real) > 0
        assert not set(real.tolist()) & set(history.tolist())
        assert tables.available[real].all()
        assert (np.diff(found.tower[row][items != PAD]) <= 0).all()
        assert (items[len(real) :] == PAD).all()


def test_every_source_is_named(scene):
    """An item that two sources brought names both; what a user had takes nobody's place."""
    retriever, tables, histories = scene
    found = retriever.retrieve(histories)
    ordered = np.argsort(-tables.popularity[:, 3], kind="stable")
    for items, sources, history in zip(found.items, found.sources, histories.items, strict=True):
        popular = ordered[~np.isin(ordered, history)][: POPULAR.share]
        for item, source in zip(items[items != PAD].tolist(), sources[items != PAD].tolist(), strict=True):
            assert source
            assert bool(source & Source.POPULAR) == (item in popular)


def test_repeats_come_back_where_seen_items_may(scene):
    """Without exclude_seen the user's own items are candidates, named as repeats, with their count and recency."""
    retriever, tables, histories = scene
    again = Retriever(retriever._encoder, tables, exclude_seen=False)
    found = again.retrieve(histories)
    x = features.build(tables, histories, found)
    count, recency = features.FEATURES.index("repeat_count"), features.FEATURES.index("repeat_recency")
    for row, history in enumerate(histories.items):
        own = set(history[history != PAD].tolist())
        named = {
            item for item, flags in zip(found.items[row], found.sources[row], strict=True) if flags & Source.REPEAT
        }
        assert named == own
        newest = np.flatnonzero(found.items[row] == history[-1])[0]
        assert x[row, newest, count] == (history == history[-1]).sum()
        assert x[row, newest, recency] == 1


def test_fresh_items_are_the_newest_of_liked_categories(scene):
    """What the fresh source brings shares a content token with the history, and none newer of it is left out."""
    retriever, tables, histories = scene
    found = retriever.retrieve(histories)
    brought = 0
    for items, sources, history in zip(found.items, found.sources, histories.items, strict=True):
        liked = set(tables.content[history[history != PAD]].ravel().tolist()) - {0}
        for item in items[(sources & Source.FRESH) != 0]:
            assert set(tables.content[item].tolist()) & liked
            brought += 1
    assert brought


@pytest.fixture(scope="module")
def dramas(tiny_world):
    """The packed filter of dramas, and their rows."""
    token = tiny_world[0].spec().token_rows["categories=drama"]
    return packed([TokenMatch((token,))]), np.flatnonzero((tiny_world[0].tables().content == token).any(axis=1))


@pytest.fixture
def filters(scene, dramas):
    """The filter of dramas for every other query."""
    rows = np.zeros((len(scene[2]), FILTER_WORDS), np.int32)
    rows[::2] = dramas[0]
    return rows


def test_filters_apply_to_items_put_since(scene, dramas, filters):
    """New and hidden items pass the filter; queries without a filter get what they get alone."""
    retriever, tables, histories = scene
    hidden = int(dramas[1][0])
    puts = putting(
        put_item("new-drama", 1, "drama"),
        put_item("new-comedy", 2, "comedy"),
        put_item("hidden-drama", 3, "drama", available=False),
        hide(tables.ids[hidden], 4),
    )
    before, joined = retriever.retrieve(histories, None, filters), retriever.with_items(puts)
    found, plain = joined.retrieve(histories, None, filters), joined.retrieve(histories)
    allowed = {*dramas[1].tolist(), len(tables) + 1} - {hidden}
    for row, history in enumerate(histories.items):
        real = found.items[row] != PAD
        if row % 2:
            np.testing.assert_array_equal(found.items[row], plain.items[row])
            np.testing.assert_array_equal(found.tower[row], plain.tower[row])
        else:
            assert hidden in before.items[row] or hidden in history
            assert set(found.items[row, real].tolist()) == allowed - set(history.tolist())

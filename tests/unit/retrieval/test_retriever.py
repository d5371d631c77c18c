"""Retrieval and the features, against brute force."""

import numpy as np
import pytest

from recsys.model import features
from recsys.model.neighbour_tables import RECENT
from recsys.retrieval.retriever import Retriever
from recsys.retrieval.sources.popular import SOURCE as POPULAR
from recsys.types import PAD, Source


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


def test_the_best_neighbours_have_the_most_votes(scene):
    """Each recent item votes for its neighbours, weighed by how long ago it was."""
    _, tables, histories = scene
    table = tables.covisit
    best = table.best(histories.items, 5, 0.9)
    for row, history in enumerate(histories.items):
        expected = np.zeros(len(tables))
        for step, item in enumerate(history[-RECENT:][::-1]):
            real = table.rows[item] != PAD
            if item != PAD:
                expected[table.rows[item][real]] += table.weights[item][real] * 0.9**step
        found = best[row][best[row] != PAD]
        assert len(found) == min(5, (expected > 0).sum())
        assert np.allclose(expected[found], np.sort(expected)[::-1][: len(found)], atol=1e-5)


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

"""Items put since a generation: the same rows that training gives unseen items, and no other change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.fresh_items.extended_tables import TableExtender
from recsys.fresh_items.put_items import NOTHING_PUT
from recsys.generation.manifest import TOWERS
from recsys.model import features
from recsys.model.ranker import Ranker
from recsys.model.towers import content_encoder
from recsys.retrieval.retriever import Retriever
from recsys.types import PAD, Source
from tests.sample_data import put_items, tiny
from tests.sample_data.put_items import UNSEEN, hide, item, putting


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return put_items.world(tmp_path_factory.mktemp("unseen"))


@pytest.fixture(scope="module")
def retriever(world):
    return Retriever.load(world[0])


@pytest.fixture(scope="module")
def ranker(world):
    return Ranker.load(world[0])


@pytest.fixture(scope="module")
def histories(world):
    return world[1].final_histories(np.arange(40))


def extender(folder, tables):
    return TableExtender.load(folder, tables, content_encoder(folder.path / TOWERS))


TWINS = putting(
    item("twin-90", 5, "comedy", "drama", year=2003), item("twin-91", 17, "drama"), item("twin-plain", 10**9)
)
"""The same content as UNSEEN, put."""


def test_the_embedding_is_what_training_gives_an_unseen_item(world):
    """A put item has the bits that the tables have for an item without interactions and with the same content."""
    folder, log = world
    tables = folder.tables()
    grown = extender(folder, tables).extend(TWINS)
    unseen = [tables.ids.row_of(item_id) for item_id in UNSEEN]
    assert not np.isin(unseen, log.items).any()
    np.testing.assert_array_equal(grown.content.tail, tables.content[unseen])
    np.testing.assert_array_equal(grown.embeddings.tail, tables.embeddings[unseen])
    assert np.linalg.norm(grown.embeddings.tail, axis=1) == pytest.approx([1, 1, 0])


def test_features_are_those_of_an_item_without_interactions(world, retriever, histories):
    """A put item in the place of an unseen item, as a candidate or in the history, changes no bit of any feature."""
    tables = world[0].tables()
    grown = extender(world[0], tables).extend(TWINS)
    unseen = np.array([tables.ids.row_of(item_id) for item_id in UNSEEN], np.int32)
    found = retriever.retrieve(histories)
    found.items[:, :3] = unseen
    histories = replace(histories, items=histories.items.copy())
    histories.items[::2, -1], histories.items[::3, -4] = unseen[0], unseen[1]
    swapped = [found.items, histories.items]
    for a, b in zip(unseen, grown.changes.rows, strict=True):
        swapped = [np.where(rows == a, b, rows) for rows in swapped]
    assert (swapped[1] >= len(tables)).any()
    expected = features.build(tables, histories, found)
    got = features.build(grown, replace(histories, items=swapped[1]), replace(found, items=swapped[0]))
    np.testing.assert_array_equal(got, expected)


def test_put_items_are_searched_exactly(retriever, world, histories):
    """The search over the index and the put items is brute force over both, without hidden items."""
    tables = world[0].tables()
    rng = np.random.default_rng(1)
    fresh = [
        item(f"f{n}", 3 * n + 1, *rng.permutation(tiny.CATEGORIES)[: n % 3 + 1], year=1980 + n, available=n % 5 > 0)
        for n in range(60)
    ]
    puts = putting(*fresh, *(hide(f"drama-{n}", 1000 + n) for n in range(10)))
    grown = retriever.with_items(puts)
    users = grown._encoder.encode(histories)
    found = grown._index.search(users, 100)
    rows = np.concatenate([np.arange(len(tables)), grown._tables.changes.rows])
    scores = users @ grown._tables.embeddings[rows].T
    scores[:, ~grown._tables.available[rows]] = -np.inf
    best = np.take_along_axis(scores, np.argsort(-scores, axis=1), axis=1)[:, :100]
    assert (found != PAD).all()
    np.testing.assert_allclose(np.einsum("bd,bkd->bk", users, grown._tables.embeddings[found]), best, atol=1e-6)
    assert all(len(set(row.tolist())) == 100 for row in found)
    everything = grown._index.search(users, 300)
    assert ((everything != PAD).sum(axis=1) == np.isfinite(scores[0]).sum()).all()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_hidden_item_comes_from_no_source(world, histories, exclude_seen):
    """Not from the tower, co-visitation, EASE, popular, fresh or repeated items."""
    folder, _ = world
    whole = Retriever.load(folder)
    tables = folder.tables()
    retriever = Retriever(whole._encoder, tables, exclude_seen, extender(folder, tables))
    before = retriever.retrieve(histories)
    named = np.bitwise_or.reduce(before.sources, axis=None)
    wanted = Source.TOWER | Source.COVISIT | Source.EASE | Source.POPULAR | Source.FRESH
    assert Source(int(named)) == (wanted if exclude_seen else wanted | Source.REPEAT)
    for category in tiny.CATEGORIES:
        ids = [f"{category}-{n}" for n in range(tiny.PER_CATEGORY)]
        puts = putting(*(hide(item_id, n + 1) for n, item_id in enumerate(ids)), hide("gone", 99))
        after = retriever.with_items(puts).retrieve(histories)
        rows = [tables.ids.row_of(item_id) for item_id in ids]
        assert np.isin(before.items, rows).any()
        assert not np.isin(after.items, [*rows, len(tables) + 99]).any()


def test_an_item_is_shown_again(world, histories):
    """A put shows an item that the generation's tables hide."""
    folder, _ = world
    tables = replace(folder.tables(), available=np.array(folder.tables().available))
    row = tables.ids.row_of("comedy-1")
    tables.available[row] = False
    retriever = Retriever(Retriever.load(folder)._encoder, tables, True, extender(folder, tables))
    assert not (retriever.retrieve(histories).items == row).any()
    grown = retriever.with_items(putting(item("comedy-1", 1)))
    assert (grown.retrieve(histories).items == row).any()


def test_an_unknown_row_is_ignored(retriever, ranker, histories):
    """A history with an unknown row gives the result of the history without it; so do candidates."""
    plain = retriever.retrieve(histories)
    stranger = replace(histories, items=histories.items.copy(), times=histories.times.copy())
    for row in range(len(histories)):
        place = row % 3 + 1  # among the newest
        for column in (stranger.items, stranger.times):
            column[row, :-place] = np.roll(column[row], -1)[:-place]
        stranger.items[row, -place] = 10**9 + row
    shorter = replace(histories, items=histories.items.copy())
    shorter.items[:, 0] = PAD  # what the strangers pushed out
    for puts in (NOTHING_PUT, putting(item("x", 7, "comedy"), hide("y", 9))):
        expected = retriever.with_items(puts).retrieve(shorter)
        found = retriever.with_items(puts).retrieve(stranger)
        np.testing.assert_array_equal(found.items, expected.items)
        mixed = replace(plain, items=plain.items.copy())
        mixed.items[:, 3:7] = 2 * 10**9
        kept = np.delete(np.arange(plain.items.shape[1]), slice(3, 7))
        fewer = type(plain)(*(getattr(plain, name)[:, kept] for name in ("items", "tower", "sources")))
        scores = ranker.with_items(puts).score(stranger, mixed)
        assert (scores[:, 3:7] == -np.inf).all()
        np.testing.assert_array_equal(scores[:, kept], ranker.with_items(puts).score(shorter, fewer))

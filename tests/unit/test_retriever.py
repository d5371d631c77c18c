"""Retrieval, the index and the features, against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import covisitation, features
from recsys.index import ExactIndex
from recsys.record import UserRecord
from recsys.retriever import Retriever
from recsys.strings import StringTable
from recsys.types import PAD, Source


@pytest.fixture(scope="module")
def scene(tiny_world):
    folder, log = tiny_world
    return Retriever.load(folder), folder.tables(), log.final_histories(np.arange(40))


def test_the_index_finds_what_brute_force_finds():
    """The same rows in the same order, hidden items never, PAD past the end."""
    rng = np.random.default_rng(0)
    items, users = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(6, 8)).astype(np.float32)
    available = rng.random(50) > 0.3
    found = ExactIndex(items, available).search(users, 60)
    for user, row in zip(users, found, strict=True):
        scores = np.where(available, items @ user, -np.inf)
        expected = np.argsort(-scores)[: available.sum()]
        assert row[: available.sum()].tolist() == expected.tolist()
        assert (row[available.sum() :] == PAD).all()


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
    """An item that two sources brought names both."""
    retriever, tables, histories = scene
    found = retriever.retrieve(histories)
    popular = set(np.argsort(-tables.popularity[:, 3], kind="stable")[:64].tolist())
    for items, sources in zip(found.items, found.sources, strict=True):
        for item, source in zip(items[items != PAD].tolist(), sources[items != PAD].tolist(), strict=True):
            assert source
            assert bool(source & Source.POPULAR) == (item in popular)


def test_covisitation_votes_are_the_sum_over_the_history(scene):
    """Each recent item votes for its neighbours, weighed by how long ago it was."""
    _, tables, histories = scene
    votes = covisitation.votes(tables, histories.items)
    everything = np.broadcast_to(np.arange(len(tables), dtype=np.int32), (len(histories), len(tables)))
    scores = votes.score(everything)
    for row, history in enumerate(histories.items):
        expected = np.zeros(len(tables))
        recent = history[-covisitation.RECENT :]
        for step, item in enumerate(recent[::-1]):
            if item != PAD:
                for neighbour, weight in zip(tables.neighbours[item], tables.neighbour_weights[item], strict=True):
                    if neighbour != PAD:
                        expected[neighbour] += weight * covisitation.DECAY**step
        assert np.allclose(scores[row], expected, atol=1e-5)
        best = votes.top(len(histories), 5)[row]
        assert np.allclose(scores[row][best[best != PAD]], np.sort(expected)[::-1][: (best != PAD).sum()], atol=1e-5)


def test_features_of_a_query_do_not_depend_on_its_neighbours(scene):
    """A batch of one is still a batch: the same bits, alone or together."""
    retriever, tables, histories = scene
    candidates = retriever.retrieve(histories)
    together = features.build(tables, histories, candidates)
    for row in range(0, len(histories), 7):
        one = slice(row, row + 1)
        assert np.array_equal(together[one], features.build(tables, histories.take(one), candidates.take(one)))
    nobody = slice(0, 0)
    assert features.build(tables, histories.take(nobody), candidates.take(nobody)).shape[0] == 0
    assert together.shape[-1] == len(features.FEATURES)
    assert np.isfinite(together).all()


@given(st.lists(st.text()))
@settings(max_examples=50, deadline=None)
def test_strings_survive_packing(strings):
    """Every script, empty strings included."""
    table = StringTable.pack(strings)
    assert list(table) == strings


@given(st.lists(st.integers(0, 2**31 - 1), max_size=50), st.lists(st.integers(0, 2**31 - 1), max_size=50))
@settings(max_examples=50, deadline=None)
def test_user_records_survive_packing(items, candidates):
    """What is packed comes back, whatever the lengths."""
    record = UserRecord(
        np.array(items, np.int32),
        np.arange(len(items), dtype=np.float64),
        np.arange(len(items)).astype(np.uint8),
        np.unique(np.array(items, np.int32)),
        np.array(candidates, np.int32),
    )
    back = UserRecord.unpack(record.pack())
    for field in ("items", "times", "types", "seen", "candidates"):
        assert np.array_equal(getattr(back, field), getattr(record, field))

"""The search by clusters beside every score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.fresh_items.grown_column import table
from recsys.kernels.sources import score
from recsys.retrieval import cluster_search as module
from recsys.retrieval.cluster_search import NearIndex
from recsys.retrieval.clusters import Clusters
from recsys.retrieval.index import ExactIndex
from recsys.types import PAD
from tests.unit.retrieval.test_allowed import of_mask
from tests.unit.retrieval.test_index import KINDS, awkward


def parted(items, count, rng, probes):
    """Clusters of any kind: what is promised holds wherever a centre is, and whichever items are in its cluster."""
    of = np.sort(rng.integers(0, count, len(items)))
    starts = np.searchsorted(of, np.arange(count + 1)).astype(np.int64)
    centres = np.ascontiguousarray(items[rng.integers(0, len(items), count)])
    return Clusters(centres, rng.permutation(len(items)).astype(np.int32), starts, probes)


@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2_000),
    st.integers(1, 70),
    st.integers(1, 300),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.2, 0.9, 1.0]),
    st.lists(st.sampled_from([None, 0.0, 0.01, 0.5]), min_size=1, max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_all_clusters_are_all_items(kind, seed, n, d, k, count, hidden, shares):
    """Who looks through every cluster finds what exact search does, to the bit, with filters and puts and without."""
    rng = np.random.default_rng(seed)
    items, users, shown = awkward(kind, rng, n, d), awkward(kind, rng, len(shares), d), rng.random(n) >= hidden
    asked = [None if share is None else of_mask(shown & (rng.random(n) < share)) for share in shares]
    put = rng.permutation(n)[: n // 3].astype(np.int32)
    away, back = put[: len(put) // 2], put[len(put) // 2 :]
    exact = ExactIndex(items, shown)
    near = NearIndex(items, shown, None, parted(items, count, rng, count))
    for told in ({}, {"allowed": asked}, {"hidden": away, "shown": back}):
        for ours, theirs in zip(near.scored(users, k, **told), exact.scored(users, k, **told), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(near.count_above(users, users[:, 0]), exact.count_above(users, users[:, 0]))


@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2_000),
    st.integers(1, 300),
    st.integers(1, 40),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_some_clusters_are_the_best_of_their_items(kind, seed, n, k, count, put):
    """Of the clusters whose centres score best, by every score; of all items where those have fewer than k."""
    rng = np.random.default_rng(seed)
    items, users, shown = awkward(kind, rng, n, 24), awkward(kind, rng, 5, 24), rng.random(n) > 0.2
    clusters = parted(items, count, rng, int(rng.integers(1, count + 1)))
    away, back = (np.flatnonzero(of & (rng.random(n) < 0.3)).astype(np.int32) for of in (shown, ~shown))
    told = {"hidden": away, "shown": back} if put else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOGETHER", 2)
        rows, scores = NearIndex(items, shown, None, clusters).scored(users, k, **told)
    if put:
        shown[away], shown[back] = False, True
    nearest = ExactIndex(clusters.centres, np.ones(count, bool)).search(users, clusters.probes)
    everything = np.broadcast_to(np.arange(n, dtype=np.int32), (len(users), n)).copy()
    every = np.empty((len(users), n), np.float32)
    score(users, table(items), everything, every)
    for query, of in enumerate(nearest):
        may = np.zeros(n, bool)
        for cluster in of:
            may[clusters.rows[clusters.starts[cluster] : clusters.starts[cluster + 1]]] = True
        may = shown if (may & shown).sum() < min(k, shown.sum()) else may & shown
        best = np.lexsort((everything[query], -every[query]))
        best = best[may[best]][:k]
        assert rows[query, : len(best)].tolist() == best.tolist()
        np.testing.assert_array_equal(scores[query, : len(best)], every[query, best])
        assert (rows[query, len(best) :] == PAD).all()


def test_what_a_filter_leaves_is_searched_exactly():
    """However few clusters are looked through; who asks for nothing beside it gets what is near."""
    rng = np.random.default_rng(0)
    items, users = awkward("plain", rng, 2_000, 24), awkward("plain", rng, 4, 24)
    shown = np.ones(len(items), bool)
    exact, near = ExactIndex(items, shown), NearIndex(items, shown, None, parted(items, 40, rng, 2))
    asked = [of_mask(rng.random(len(items)) < share) for share in (0.01, 0.5)] + [None, None]
    found = near.search(users, 20, asked)
    np.testing.assert_array_equal(found[:2], exact.search(users, 20, asked)[:2])
    np.testing.assert_array_equal(found[2:], near.search(users[2:], 20))
    assert (found[2:] != exact.search(users[2:], 20)).any()

"""The search by clusters beside every score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import near as module
from recsys import scans
from recsys.clusters import Clusters
from recsys.grown import table
from recsys.index import ExactIndex
from recsys.kernels import clusters as kernel
from recsys.kernels import search
from recsys.kernels.sources import score
from recsys.near import NearIndex
from recsys.types import PAD
from tests.unit.test_allowed import of_mask
from tests.unit.test_index import KINDS, awkward


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
@settings(max_examples=200, deadline=None)
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
    st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.integers(1, 2_000), st.integers(1, 300), st.integers(1, 40)
)
@settings(max_examples=200, deadline=None)
def test_some_clusters_are_the_best_of_their_items(kind, seed, n, k, count):
    """Of the clusters whose centres score best, by every score; of twice as many where those have fewer than k."""
    rng = np.random.default_rng(seed)
    items, users, shown = awkward(kind, rng, n, 24), awkward(kind, rng, 5, 24), rng.random(n) > 0.2
    clusters = parted(items, count, rng, int(rng.integers(1, count + 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOGETHER", 2)
        patch.setattr(scans, "ROOM", 0)
        rows, scores = NearIndex(items, shown, None, clusters).scored(users, k)
    nearest = ExactIndex(clusters.centres, np.ones(count, bool)).search(users, count)
    everything = np.broadcast_to(np.arange(n, dtype=np.int32), (len(users), n)).copy()
    every = np.empty((len(users), n), np.float32)
    score(users, table(items), everything, every)
    for query, of in enumerate(nearest):
        probes, may = clusters.probes, np.zeros(n, bool)
        while True:
            for cluster in of[:probes]:
                may[clusters.rows[clusters.starts[cluster] : clusters.starts[cluster + 1]]] = True
            may &= shown
            if may.sum() >= min(k, shown.sum()):
                break
            probes *= 2
        best = np.lexsort((everything[query], -every[query]))
        best = best[may[best]][:k]
        assert rows[query, : len(best)].tolist() == best.tolist()
        np.testing.assert_array_equal(scores[query, : len(best)], every[query, best])
        assert (rows[query, len(best) :] == PAD).all()


def test_a_batch_brings_kernels_the_same_kinds_of_arrays(tmp_path):
    """As the trial at the start does, of clusters that are mapped, too: else requests would wait for a compiler."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(5_000, 16)).astype(np.float32)
    parted(items, 50, rng, 9).save(tmp_path)
    near = NearIndex(items, np.ones(len(items), bool), None, Clusters.load(tmp_path))
    kernels = kernel.look_among, search.rescore, search.pick
    before = [list(each.signatures) for each in kernels]
    near.scored(items[:3], 100)
    assert [list(each.signatures) for each in kernels] == before


def test_clusters_are_read_as_they_were_written(tmp_path):
    """All of them."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(500, 8)).astype(np.float32)
    clusters = parted(items, 20, rng, 3)
    clusters.save(tmp_path)
    again = Clusters.load(tmp_path)
    for name in ("centres", "rows", "starts"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clusters, name))
    assert again.probes == 3
    assert again.of(np.array([4, 2], np.int32)).tolist() == sorted(
        row for cluster in (2, 4) for row in clusters.rows[clusters.starts[cluster] : clusters.starts[cluster + 1]]
    )

"""The best of the items that stand near a user: a part of the time of exact search, and nearly all of what it finds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from recsys.kernels import clusters as kernel
from recsys.kernels.compiled import plain
from recsys.retrieval.clusters import Clusters
from recsys.retrieval.index import TOGETHER, ExactIndex
from recsys.retrieval.scans import LEAST, Bytes, Items, lists, scan_of
from recsys.types import F32, F64, I8, I32, Bool


class NearIndex(ExactIndex):
    """Top-k by float32 inner product over the items of the clusters nearest to a user.

    For whom those have fewer than k that may be shown all items are looked through, and so is what a filter leaves, and
    for whom `exactly` is asked: clusters that hold what users like need not hold what an item is like. Scores, ties and
    places (`count_above`) are those of exact search.
    """

    def __init__(
        self,
        embeddings: F32,
        available: Bool,
        table: I8 | None,
        clusters: Clusters,
        scan: Callable[[Items], Bytes] = scan_of,
    ) -> None:
        """As of `ExactIndex`; holds the table of bytes once more, in the order of the clusters."""
        super().__init__(embeddings, available, table, scan)
        self.clusters = replace(clusters, rows=plain(clusters.rows), starts=plain(clusters.starts))
        self._bytes, of = Bytes(self._scanned), self._scanned.table
        self._table = np.zeros((len(of) + kernel.BEYOND, of.shape[1]), np.int8)
        np.take(of, self.clusters.rows, axis=0, out=self._table[: len(of)], mode="clip")  # else it is made twice
        centres = plain(clusters.centres)
        self._centres = ExactIndex(centres, np.ones(len(centres), bool), scan=Bytes)

    def through(self, probes: int) -> NearIndex:
        """The same, looking through so many clusters."""
        other = copy.copy(self)
        other.clusters = replace(self.clusters, probes=probes)
        return other

    def _unfiltered(self, users: F32, norms: F64, may: Bool, found: I32, best: F32) -> None:
        """As of `ExactIndex`, among the near."""
        for start in range(0, len(users), TOGETHER):
            some = slice(start, start + TOGETHER)
            enough = self._among_near(users[some], norms[some], may, found[some], best[some])
            if len(few := start + np.flatnonzero(~enough)):
                items, scores = found[few], best[few]
                self._search(users[few], norms[few], may, items, scores)
                found[few], best[few] = items, scores

    def _among_near(self, users: F32, norms: F64, may: Bool, found: I32, best: F32) -> Bool:
        """Fill found and best [B, k] for whom k of the near may be shown; who that is, [B]."""
        of, k = self.clusters, found.shape[1]
        nearest = self._centres.search(users, of.probes)
        queries, margins = self._bytes.asked(users, norms)
        listed, scores, counts = lists(len(users), k)
        bounds = np.full(len(users), LEAST, np.int32)
        kernel.look_among(
            self._table, of.rows, of.starts, nearest, queries, margins, may, k, bounds, listed, scores, counts
        )
        enough: Bool = counts >= k
        counts[~enough] = 0
        self._rescore(users, listed, counts, found, best)
        return enough


def compile_kernels() -> None:
    """Compile what a search by clusters calls: a later generation may have some, and no request is to wait for it."""
    one, first = np.ones((1, 4), np.float32), np.zeros(1, np.int32)
    clusters = Clusters(one, first, np.array([0, 1]), probes=1)
    NearIndex(one, np.ones(1, bool), None, clusters, scan=Bytes).search(one, 1)

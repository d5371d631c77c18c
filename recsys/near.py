"""The best of the items that stand near a user: a part of the time of exact search, and nearly all of what it finds."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from recsys.clusters import Clusters
from recsys.index import TOGETHER, ExactIndex
from recsys.kernels import clusters as kernel
from recsys.kernels.compiled import plain
from recsys.kernels.products import ROWS
from recsys.scans import LEAST, Bytes, lists
from recsys.types import F32, F64, I8, I32, Bool


class NearIndex(ExactIndex):
    """Top-k by float32 inner product over the items of the clusters nearest to a user.

    Where those have fewer than k that may be shown, twice as many clusters are looked through, and so on. Exact among
    what a filter leaves. Scores, ties and places (`count_above`) are those of exact search.
    """

    def __init__(self, embeddings: F32, available: Bool, table: I8 | None, clusters: Clusters) -> None:
        """As of `ExactIndex`."""
        super().__init__(embeddings, available, table)
        self.clusters, bytes_of = clusters, self._scanned.table
        self._bytes = Bytes(self._scanned)
        self._table = np.zeros((len(bytes_of) + ROWS, bytes_of.shape[1]), np.int8)
        np.take(bytes_of, clusters.rows, axis=0, out=self._table[: len(bytes_of)])
        centres = plain(clusters.centres)
        self._centres = ExactIndex(centres, np.ones(len(centres), bool))
        if self._count:
            self.search(centres[:1], 1)  # so that no request waits until the kernel is compiled

    def through(self, probes: int) -> NearIndex:
        """The same, looking through so many clusters."""
        other = copy.copy(self)
        other.clusters = replace(self.clusters, probes=probes)
        return other

    def _unfiltered(self, users: F32, norms: F64, may: Bool, found: I32, best: F32) -> None:
        """As of `ExactIndex`, among the near."""
        for start in range(0, len(users), TOGETHER):
            wait, probes = np.arange(start, min(start + TOGETHER, len(users))), self.clusters.probes
            while len(wait):
                some, items, scores = plain(users[wait]), found[wait], best[wait]
                enough = self._among_near(some, norms[wait], probes, may, items, scores)
                found[wait[enough]], best[wait[enough]] = items[enough], scores[enough]
                wait, probes = wait[~enough], 2 * probes

    def _among_near(self, users: F32, norms: F64, probes: int, may: Bool, found: I32, best: F32) -> Bool:
        """Fill found and best [B, k] for whom so many clusters hold k items that may be shown; who that is, [B]."""
        of, k = self.clusters, found.shape[1]
        nearest = self._centres.search(users, min(probes, len(of)))
        queries, margins, _ = self._bytes.asked(users, norms)
        listed, scores, counts = lists(len(users), k, np.int32)
        bounds = np.full(len(users), LEAST, np.int32)
        kernel.look_among(
            self._table, of.rows, of.starts, nearest, queries, margins, may, k, bounds, listed, scores, counts
        )
        told, enough = counts.tolist(), (counts < 0) | (counts >= k)
        counts[~enough | (counts < 0)] = 0
        self._rescore(users, listed, counts, counts.tolist(), found, best)
        for query, count in enumerate(told):
            if count < 0:
                rows = of.of(nearest[query])
                self._among(rows[may[rows]], users, query, found, best)
        return np.asarray(enough)

"""Score all items in int8 with the library numkong, and list the items that may be among the best k by float32.

It is the first step of the exact search in `index`, which scores the listed items again in float32.
"""

from __future__ import annotations

import numkong
import numpy as np

from recsys.kernels import exact_search
from recsys.kernels.quantization import TableErrors, quantize_users
from recsys.kernels.sort_keys import U64
from recsys.retrieval.int8_embeddings import TINY, error, step, width
from recsys.types import F32, F64, I8, I64, Bool

FARTHEST = 1 << 40
"""A margin above the difference of any two int32 scores."""

ROOM = 8_192
"""Rows that may be listed for a user, or 16 k. Of 100,000 random items about 1,100 are listed for the best 500."""

TOGETHER = 16
"""Users whose scores are computed in one call, at most: the scores of more do not stay in cache."""

CELLS = 1 << 23
"""Scores of one call, at most: 32 MiB."""


class Int8Scan:
    """Lists the items that may be among the best. The list is complete, because the rounding errors are known.

    numkong copies the table into a layout for the processor: 136 bytes an item of 64 numbers, in each process. A single
    user is multiplied with the table as it is, half as many bytes: of 100,000 items .25 ms instead of .9 if the third
    cache holds other data.
    """

    def __init__(self, embeddings: F32, table: I8) -> None:
        """table: `rounded(embeddings)`. With another table the list is longer, and still complete.

        ValueError for a table of another shape.
        """
        if table.shape != (len(embeddings), width(embeddings.shape[1])) or table.dtype != np.int8:
            found = f"{list(table.shape)} {table.dtype}, the embeddings are {list(embeddings.shape)}"
            raise ValueError(f"The int8 table is {found}.")
        self._embeddings, self._width, dim = embeddings, table.shape[1], embeddings.shape[1]
        off, long = error(embeddings, table)
        self.longest = long + off
        # A float32 inner product has d sums and products, each off by a share of 2^-24 at most (Higham, "Accuracy and
        # Stability of Numerical Algorithms", 3.1) and, of numbers too small for that, by half of the smallest number.
        products = 1.01 * dim * 2.0**-24 * self.longest, dim * 2.0**-149
        self._errors = TableErrors(off, long, step(embeddings), *products)
        self._packed = numkong.dots_pack(np.ascontiguousarray(table))
        missing = -self._width % exact_search.COLUMNS
        padded = np.pad(table, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(table)
        self._table = padded.reshape(len(table), -1, exact_search.COLUMNS)
        self.batch = max(1, min(TOGETHER, CELLS // max(len(table), 1)))

    def find(self, users: F32, norms: F64, k: int, shown: Bool) -> tuple[U64, I64]:
        """Sort keys [B, room] of the items that may be among the k best for users [B, d], in no order; and how many.

        norms: [B]. shown: [n], k rows at least. The number is -1 if more than `room` items may be among the best.
        """
        width = self._table.shape[1] * exact_search.COLUMNS
        queries, margins = np.zeros((len(users), width), np.int8), np.empty(len(users), np.int64)
        quantize_users(users, norms, self._errors, TINY, FARTHEST, queries, margins)
        if len(users) == 1:
            scores = np.empty((1, len(self._table)), np.int32)
            query = queries[0].astype(np.int16).reshape(self._table.shape[1:])
            exact_search.product(self._table, query, scores)
        else:
            scores = np.asarray(numkong.dots_packed(queries[:, : self._width], self._packed))
        keys, counts = np.empty((len(users), max(ROOM, 16 * k)), np.uint64), np.empty(len(users), np.int64)
        exact_search.find(scores, margins, shown, k, users, self._embeddings, keys, counts)
        return keys, counts

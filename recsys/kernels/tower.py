"""The user tower as serving runs it: what lies before, between and behind its two matrix products, a pass each."""

from __future__ import annotations

import math

import numpy as np

from recsys.kernels.compiled import compiled

_TINY = np.float32(1e-9)
_LEAST_NORM = np.float32(1e-12)
_ROOT_HALF = np.float32(math.sqrt(0.5))


@compiled
def remember(items, real, types, gaps, of_types, of_gaps, decays, nobody, wide):
    """The decayed means of what each user did, or `nobody` where that is nothing.

    items: [B, L, D] float32 embeddings, newest last. real: [B, L] bool. types, gaps: [B, L] int64, rows of of_types and
    of_gaps [., D]. decays: [N, L] float32, the weight of each place. wide: [B, N * D].
    """
    length, dim = items.shape[1], items.shape[2]
    for query in range(len(items)):
        to = wide[query]
        to[:] = 0
        for decay in range(len(decays)):
            total, first = np.float32(0), decay * dim
            for at in range(length):
                weight = decays[decay, at]
                if not real[query, at] or weight == 0:
                    continue
                total += weight
                kind, gap = of_types[types[query, at]], of_gaps[gaps[query, at]]
                for unit in range(dim):
                    to[first + unit] += weight * (items[query, at, unit] + kind[unit] + gap[unit])
            total = max(total, _TINY)
            for unit in range(dim):
                to[first + unit] /= total
        if not real[query].any():
            to[:] = nobody


@compiled
def add_rows(table, rows, wide):
    """Add a row of table [n, W] to each of wide [B, W]."""
    for query in range(len(wide)):
        of = table[rows[query]]
        for unit in range(wide.shape[1]):
            wide[query, unit] += of[unit]


@compiled
def activate(product, bias, hidden):
    """GELU of the first columns of a product [B, H + D] and their bias [H + D], into hidden [B, H]."""
    for query in range(len(hidden)):
        for unit in range(hidden.shape[1]):
            x = product[query, unit] + bias[unit]
            hidden[query, unit] = np.float32(0.5) * x * (np.float32(1) + np.float32(math.erf(x * _ROOT_HALF)))


@compiled
def normalise(skipped, deep, skip_bias, deep_bias, users):
    """The last columns of the first product [B, H + D] and the second one [B, D] with their biases, to length one."""
    dim = users.shape[1]
    first = skipped.shape[1] - dim
    for query in range(len(users)):
        length = np.float32(0)
        for unit in range(dim):
            x = skipped[query, first + unit] + skip_bias[first + unit] + deep[query, unit] + deep_bias[unit]
            users[query, unit] = x
            length += x * x
        length = max(np.sqrt(length), _LEAST_NORM)
        for unit in range(dim):
            users[query, unit] /= length

"""The user tower as serving runs it: what lies before, between and behind its two matrix products, a pass each."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from recsys.kernels.compiled import compiled
from recsys.kernels.spans import gap, wait
from recsys.kernels.tables import locate

_TINY = np.float32(1e-9)
_LEAST_NORM = np.float32(1e-12)
_ROOT_HALF = np.float32(math.sqrt(0.5))


class Weights(NamedTuple):
    """What the tower adds to a history: [., D] of an event's type and of the step before it, [., N * D] of all else.

    contexts: [C, R, N * D], of which sizes [C] rows are each column's. nobody: [N * D]. All float32.
    """

    types: np.ndarray
    gaps: np.ndarray
    waits: np.ndarray
    contexts: np.ndarray
    sizes: np.ndarray
    nobody: np.ndarray


@compiled
def remember(embeddings, items, times, now, types, contexts, clock, weights, decays, wide):
    """The decayed means of what each user did, or `nobody` where that is nothing, and what was asked in which context.

    embeddings: a `Table` [n, D]. items: [B, L] int32, newest last, times: [B, L] float64, types: [B, L] uint8, now:
    [B]. contexts: [B, clock + C] uint8. decays: [N, L] float32, the weight of each place. wide: [B, N * D]. Which user
    it was, times C and the column, whose context has no row; -1 where all have.
    """
    base, late, tail = embeddings
    of_types, of_gaps, of_waits, of_contexts, sizes, nobody = weights
    n, length, dim = len(base), items.shape[1], base.shape[1]
    steps, event, totals = len(of_gaps) - 1, np.empty(dim, np.float32), np.empty(len(decays), np.float32)
    for query in range(len(items)):
        to = wide[query]
        to[:] = 0
        totals[:] = 0
        for at in range(length):
            if items[query, at] < 0:
                continue
            row, span = locate(n, late, items[query, at]), gap(items, times, query, at, steps)
            kind = min(np.int64(types[query, at]), len(of_types) - 1)
            for unit in range(dim):
                known = base[row, unit] if 0 <= row < n else (tail[row - n, unit] if row >= n else np.float32(0))
                event[unit] = known + of_types[kind, unit] + of_gaps[span, unit]
            for decay in range(len(decays)):
                weight, first = decays[decay, at], decay * dim
                totals[decay] += weight
                if weight != 0:
                    for unit in range(dim):
                        to[first + unit] += weight * event[unit]
        somebody = length > 0 and totals.max() > 0
        since = wait(items, times, now, query, steps)
        for decay in range(len(decays)):
            total = max(totals[decay], _TINY)
            for unit in range(decay * dim, (decay + 1) * dim):
                to[unit] = (to[unit] / total if somebody else nobody[unit]) + of_waits[since, unit]
        for column in range(len(of_contexts)):
            row = np.int64(contexts[query, clock + column])
            if row >= sizes[column]:
                return query * len(of_contexts) + column
            for unit in range(len(to)):
                to[unit] += of_contexts[column, row, unit]
    return -1


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

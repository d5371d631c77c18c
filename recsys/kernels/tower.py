"""The user tower as serving runs it, from a history to an embedding in one call."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from recsys.kernels.compiled import compiled
from recsys.kernels.fetch import fetch
from recsys.kernels.spans import gap, wait
from recsys.kernels.tables import Table, locate

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


class Layers(NamedTuple):
    """The tower's matrices, each transposed, so that one is read from its beginning to its end; all float32.

    first: [N * D, H + D], the first layer and the skip, which read the same rows. second: [H, D].
    """

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray


TOGETHER = 8
"""Users whose sums a core's first cache holds, while each row of a matrix is read once for all of them."""


@compiled(makes_arrays=True)
def encode(
    embeddings,
    late,
    tail,
    items,
    times,
    now,
    types,
    contexts,
    clock,
    of_types,
    of_gaps,
    of_waits,
    of_contexts,
    sizes,
    nobody,
    first,
    first_bias,
    second,
    second_bias,
    decays,
    users,
):
    """The users of histories into users [B, D]; what `remember` returns, and where that is not -1 nothing else.

    embeddings, late, tail: of a `Table`. of_types to nobody: of `Weights`. first to second_bias: of `Layers`. One call
    for all, and no tuple: where no cache has it, each is 10 us.
    """
    table, weights = Table(embeddings, late, tail), Weights(of_types, of_gaps, of_waits, of_contexts, sizes, nobody)
    wide = np.empty((len(items), first.shape[0]), np.float32)
    unknown = remember(table, items, times, now, types, contexts, clock, weights, decays, wide)
    if unknown >= 0:
        return unknown
    product = np.empty((len(items), first.shape[1]), np.float32)
    multiply(wide, first, first_bias, product)
    hidden = np.empty((len(items), second.shape[0]), np.float32)
    activate(product, hidden)
    multiply(hidden, second, second_bias, users)
    normalise(product, users)
    return unknown


@compiled(fastmath={"contract"})
def multiply(rows, weight, bias, out):
    """Rows [B, i] times a weight [i, o], and the bias [o]: into out [B, o].

    Each row is added up in the same order whatever stands beside it: the bits of a library's product for several depend
    on how many they are, and with them which of two candidates that are nearly alike stands first.
    """
    for start in range(0, len(rows), TOGETHER):
        past = min(start + TOGETHER, len(rows))
        for row in range(start, past):
            for unit in range(len(bias)):
                out[row, unit] = bias[unit]
        for at in range(weight.shape[0]):
            for row in range(start, past):
                factor = rows[row, at]
                for unit in range(weight.shape[1]):
                    out[row, unit] += factor * weight[at, unit]


@compiled(makes_arrays=True)
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
            if 0 <= items[query, at] < n:
                fetch(base, items[query, at])
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
def activate(product, hidden):
    """GELU of the first columns of a product [B, H + D], into hidden [B, H]."""
    for query in range(len(hidden)):
        for unit in range(hidden.shape[1]):
            x = product[query, unit]
            hidden[query, unit] = np.float32(0.5) * x * (np.float32(1) + np.float32(math.erf(x * _ROOT_HALF)))


@compiled
def normalise(product, users):
    """Add the last columns of the first product [B, H + D] to users, the second one [B, D], to length one."""
    dim = users.shape[1]
    first = product.shape[1] - dim
    for query in range(len(users)):
        length = np.float32(0)
        for unit in range(dim):
            x = product[query, first + unit] + users[query, unit]
            users[query, unit] = x
            length += x * x
        length = max(np.sqrt(length), _LEAST_NORM)
        for unit in range(dim):
            users[query, unit] /= length

"""Compiled history encoder: the neural network (user tower) that turns users' past events into embeddings, in one call.

It computes what the torch module `recsys.model.towers.UserTower` computes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from recsys.kernels.jit import compiled
from recsys.kernels.kernel_table import locate
from recsys.kernels.matrix_product import add_product
from recsys.kernels.time_features import gap, wait

_TINY = np.float32(1e-9)
_LEAST_NORM = np.float32(1e-12)
_ROOT_HALF = np.float32(math.sqrt(0.5))


class HistoryArrays(NamedTuple):
    """A batch of histories. items: [B, L] int32, newest last. times: [B, L] float64. now: [B] float64.

    types: [B, L] uint8. contexts: [B, CLOCK + C] uint8.
    """

    items: np.ndarray
    times: np.ndarray
    now: np.ndarray
    types: np.ndarray
    contexts: np.ndarray


class InputWeights(NamedTuple):
    """What the tower adds to a history, all float32: [., D] by event type and time step, [., N * D] by all else.

    contexts: [C, R, N * D], of which the first sizes[c] rows belong to column c. nobody: [N * D], of a user without
    events. clock: how many columns of a context (hour, weekday) come before the dataset's own.
    """

    types: np.ndarray
    gaps: np.ndarray
    waits: np.ndarray
    contexts: np.ndarray
    sizes: np.ndarray
    nobody: np.ndarray
    clock: int


class Layers(NamedTuple):
    """The matrices of the tower, transposed, so that memory is read in order; all float32.

    first: [N * D, H + D], the first layer and the skip connection, which read the same input. second: [H, D].
    """

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray


@compiled
def encode(embeddings, histories, weights, layers, decays, users):
    """The users of a batch of `HistoryArrays` into users [B, D]; the result of `inputs`, -1 on success.

    embeddings: `KernelTable` [n, D]. decays: [N, L] float32, the weight of each place of a history for each decay.
    """
    batch = len(histories.items)
    wide = np.empty((batch, layers.first.shape[0]), np.float32)
    unknown = inputs(embeddings, histories, weights, decays, wide)
    if unknown >= 0:
        return unknown
    product = np.empty((batch, layers.first.shape[1]), np.float32)
    product[:] = layers.first_bias
    add_product(wide, layers.first, product)
    hidden = np.empty((batch, layers.second.shape[0]), np.float32)
    activate(product, hidden)
    users[:] = layers.second_bias
    add_product(hidden, layers.second, users)
    normalise(product, users)
    return unknown


@compiled
def inputs(embeddings, histories, weights, decays, wide):
    """The input of the first layer into wide [B, N * D]: decayed means of a user's events, or `nobody`, and contexts.

    Returns -1, or query * C + column of the first context value that has no row.
    """
    dim = embeddings.base.shape[1]
    event, totals = np.empty(dim, np.float32), np.empty(len(decays), np.float32)
    for query in range(len(histories.items)):
        wide[query, :] = 0
        totals[:] = 0
        for at in range(histories.items.shape[1]):
            if histories.items[query, at] < 0:
                continue
            embed_event(embeddings, histories, query, at, weights, event)
            for decay in range(len(decays)):
                weight, first = decays[decay, at], decay * dim
                totals[decay] += weight
                if weight != 0:
                    for unit in range(dim):
                        wide[query, first + unit] += weight * event[unit]
        somebody = totals.max() > 0
        since = wait(histories.items, histories.times, histories.now, query)
        for decay in range(len(decays)):
            total = max(totals[decay], _TINY)
            for unit in range(decay * dim, (decay + 1) * dim):
                mean = wide[query, unit] / total if somebody else weights.nobody[unit]
                wide[query, unit] = mean + weights.waits[since, unit]
        for column in range(len(weights.contexts)):
            row = np.int64(histories.contexts[query, weights.clock + column])
            if row >= weights.sizes[column]:
                return query * len(weights.contexts) + column
            for unit in range(wide.shape[1]):
                wide[query, unit] += weights.contexts[column, row, unit]
    return -1


@compiled
def embed_event(embeddings, histories, query, at, weights, event):
    """The sum of the item's embedding, the event type's and the time step's: event [D]. Unknown items count as 0."""
    base, late, tail = embeddings
    n = len(base)
    row = locate(n, late, histories.items[query, at])
    span = gap(histories.items, histories.times, query, at)
    kind = min(np.int64(histories.types[query, at]), len(weights.types) - 1)
    for unit in range(len(event)):
        known = base[row, unit] if 0 <= row < n else (tail[row - n, unit] if row >= n else np.float32(0))
        event[unit] = known + weights.types[kind, unit] + weights.gaps[span, unit]


@compiled
def activate(product, hidden):
    """GELU of the first H columns of product [B, H + D] into hidden [B, H]."""
    for query in range(len(hidden)):
        for unit in range(hidden.shape[1]):
            x = product[query, unit]
            hidden[query, unit] = np.float32(0.5) * x * (np.float32(1) + np.float32(math.erf(x * _ROOT_HALF)))


@compiled
def normalise(product, users):
    """Add the skip connection, the last D columns of product [B, H + D], to users [B, D] and scale them to norm 1."""
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

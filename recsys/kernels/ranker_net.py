"""The ranker's neural network as a compiled loop: it scores candidate items in blocks that stay in the CPU cache.

All layers run for one block, then for the next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.jit import compiled
from recsys.kernels.matrix_product import add_product

LANES = 128
"""Candidates of a block: the sums of one layer take 60 KB."""


class RankerWeights(NamedTuple):
    """mean, scale: [F], of the standardisation; scale is 1 / deviation, 0 for a feature that never varied. All float32.

    first: [F + H, F], the first cross layer and below it the first deep layer: both read the features. crosses:
    [L, F, F], the other cross layers. deep: [H, H], the second deep layer. out_crossed, out_deep: [1, F], [1, H], the
    output layer. Each bias has one column.
    """

    mean: np.ndarray
    scale: np.ndarray
    first: np.ndarray
    first_bias: np.ndarray
    crosses: np.ndarray
    cross_biases: np.ndarray
    deep: np.ndarray
    deep_bias: np.ndarray
    out_crossed: np.ndarray
    out_deep: np.ndarray
    out_bias: np.ndarray


@compiled
def scores(x, weights, bound, found):
    """Scores [B, K] float32 of candidates with features x [B, F, K] float32. bound: of a standardised feature."""
    features, hidden = len(weights.mean), len(weights.deep)
    x0, crossed = np.zeros((features, LANES), np.float32), np.empty((features, LANES), np.float32)
    sums, more = np.empty((features + hidden, LANES), np.float32), np.empty((features, LANES), np.float32)
    settled, total = np.empty((hidden, LANES), np.float32), np.empty((1, LANES), np.float32)
    for query in range(len(x)):
        for start in range(0, x.shape[2], LANES):
            count = min(LANES, x.shape[2] - start)
            standardise(x, query, start, count, weights, bound, x0)
            sums[:] = weights.first_bias
            add_product(weights.first, x0, sums)
            crossed[:] = x0
            cross(x0, sums, crossed)
            for layer in range(len(weights.crosses)):
                more[:] = weights.cross_biases[layer]
                add_product(weights.crosses[layer], crossed, more)
                cross(x0, more, crossed)
            met = sums[features:]
            rectify(met)
            settled[:] = weights.deep_bias
            add_product(weights.deep, met, settled)
            rectify(settled)
            total[:] = weights.out_bias
            add_product(weights.out_crossed, crossed, total)
            add_product(weights.out_deep, settled, total)
            for lane in range(count):
                found[query, start + lane] = total[0, lane]


@compiled
def cross(x0, summed, crossed):
    """Add the features times the output of a cross layer to the layer's input."""
    for feature in range(len(x0)):
        for lane in range(LANES):
            crossed[feature, lane] += x0[feature, lane] * summed[feature, lane]


@compiled
def rectify(units):
    """ReLU, in place."""
    zero = np.float32(0)
    for unit in range(len(units)):
        for lane in range(LANES):
            of = units[unit, lane]
            units[unit, lane] = zero if of < zero else of


@compiled
def standardise(x, query, start, count, weights, bound, out):
    """(x - mean) * scale of `count` candidates, held within the bound, into out [F, LANES]."""
    for feature in range(len(weights.mean)):
        middle, factor = weights.mean[feature], weights.scale[feature]
        for lane in range(count):
            of = (x[query, feature, start + lane] - middle) * factor
            of = -bound if of < -bound else of
            out[feature, lane] = bound if of > bound else of


@compiled
def leave_out(items, scores):
    """Set scores [B, K] to -inf where items [B, K] int32 are PAD."""
    for query in range(len(items)):
        for at in range(items.shape[1]):
            if items[query, at] < 0:
                scores[query, at] = -np.inf

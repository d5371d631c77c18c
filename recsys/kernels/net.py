"""The ranker's net, sixteen candidates after the other through all of its layers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.compiled import compiled
from recsys.kernels.layers import LANES, UNITS, units


class Weights(NamedTuple):
    """mean, deviation: [F] float32, by which features are standardised. All others float32, too.

    first: the first cross layer's [F, F] and under it the first of the others' [H, F], which read the same features,
    `layers.packed`; first_bias: [F + H]. crosses: the other cross layers', packed [., blocks, F, UNITS]; cross_biases:
    [., F]. deep: [H, H], packed; deep_bias: [H]. out: [F + H]; out_bias: [1].
    """

    mean: np.ndarray
    deviation: np.ndarray
    first: np.ndarray
    first_bias: np.ndarray
    crosses: np.ndarray
    cross_biases: np.ndarray
    deep: np.ndarray
    deep_bias: np.ndarray
    out: np.ndarray
    out_bias: np.ndarray


@compiled
def scores(x, weights, bound, found):
    """The scores of candidates with features x [B, F, K] float32 into found [B, K] float32.

    bound: of a standardised feature.
    """
    mean, deviation, first, first_bias, crosses, cross_biases, deep, deep_bias, out, out_bias = weights
    width, hidden, zero = len(mean), len(deep_bias), np.float32(0)
    x0, crossed = np.zeros((width, LANES), np.float32), np.empty((width, LANES), np.float32)
    sums = np.empty((len(first) * UNITS, LANES), np.float32)
    next_sums = np.empty((max(len(deep), crosses.shape[1]) * UNITS, LANES), np.float32)
    for query in range(len(x)):
        for start in range(0, x.shape[2], LANES):
            standardise(x, query, start, mean, deviation, bound, x0)
            for block in range(len(first)):
                units(first, block, x0, 0, sums, block * UNITS)
            for feature in range(width):
                bias = first_bias[feature]
                for lane in range(LANES):
                    of = x0[feature, lane]
                    crossed[feature, lane] = of + of * (sums[feature, lane] + bias)
            for unit in range(width, width + hidden):
                bias = first_bias[unit]
                for lane in range(LANES):
                    sums[unit, lane] = max(sums[unit, lane] + bias, zero)
            for layer in range(len(crosses)):
                for block in range(crosses.shape[1]):
                    units(crosses[layer], block, crossed, 0, next_sums, block * UNITS)
                for feature in range(width):
                    bias = cross_biases[layer, feature]
                    for lane in range(LANES):
                        crossed[feature, lane] += x0[feature, lane] * (next_sums[feature, lane] + bias)
            for block in range(len(deep)):
                units(deep, block, sums, width, next_sums, block * UNITS)
            total = sums[0]
            total[:] = out_bias[0]
            for feature in range(width):
                for lane in range(LANES):
                    total[lane] += out[feature] * crossed[feature, lane]
            for unit in range(hidden):
                weight, bias = out[width + unit], deep_bias[unit]
                for lane in range(LANES):
                    total[lane] += weight * max(next_sums[unit, lane] + bias, zero)
            for lane in range(min(LANES, x.shape[2] - start)):
                found[query, start + lane] = total[lane]


@compiled
def standardise(x, query, start, mean, deviation, bound, out):
    """(x - mean) / deviation of LANES candidates from `start` on, held within the bound, into out [F, LANES].

    What stands in lanes behind the last candidate is not changed.
    """
    whole = start + LANES <= x.shape[2]
    for feature in range(len(mean)):
        middle, wide = mean[feature], deviation[feature]
        for lane in range(LANES if whole else x.shape[2] - start):
            out[feature, lane] = min(max((x[query, feature, start + lane] - middle) / wide, -bound), bound)


@compiled
def leave_out(items, scores):
    """Make scores [B, K] -inf where items [B, K] int32 are none."""
    for query in range(len(items)):
        for at in range(items.shape[1]):
            if items[query, at] < 0:
                scores[query, at] = -np.inf

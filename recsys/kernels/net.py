"""The ranker's net, sixteen candidates after the other through all of its layers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.compiled import compiled
from recsys.kernels.layers import LANES, UNITS, layer


class Weights(NamedTuple):
    """mean: [F] float32. scale: [F] float32, one by the deviation, 0 of what never varied. The others `layers.packed`.

    first: the first cross layer's F units and under them the H of the first of the others, which read the same
    features. crosses: the other cross layers', one behind the other [., blocks, 1 + F, UNITS]. deep: the second of the
    others. out: one unit of F + H.
    """

    mean: np.ndarray
    scale: np.ndarray
    first: np.ndarray
    crosses: np.ndarray
    deep: np.ndarray
    out: np.ndarray


@compiled(makes_arrays=True)
def scores(x, mean, scale, first, crosses, deep, out, bound, found):
    """The scores of candidates with features x [B, F, K] float32 into found [B, K] float32.

    mean to out: of `Weights`. bound: of a standardised feature. What stands between two layers are rows of LANES one
    behind the other: a loop over them all asks once whether it may write while others are read, a loop over a row as
    often as there are rows.
    """
    features, hidden = len(mean), deep.shape[1] - 1
    x0, met = np.zeros(features * LANES, np.float32), np.empty(hidden * LANES, np.float32)
    sums = np.empty(len(first) * UNITS * LANES, np.float32)
    next_sums = np.empty(max(len(deep), crosses.shape[1]) * UNITS * LANES, np.float32)
    last, total = np.empty((features + hidden) * LANES, np.float32), np.empty(UNITS * LANES, np.float32)
    crossed, settled = last[: features * LANES], last[features * LANES :]
    for query in range(len(x)):
        for start in range(0, x.shape[2], LANES):
            standardise(x[query, :, start : start + LANES], mean, scale, bound, x0)
            layer(first, x0, sums)
            for at in range(len(x0)):
                crossed[at] = x0[at]
            cross(x0, sums, crossed)
            for at in range(len(crosses)):
                layer(crosses[at], crossed, next_sums)
                cross(x0, next_sums, crossed)
            rectify(sums[features * LANES :], met)
            layer(deep, met, next_sums)
            rectify(next_sums, settled)
            layer(out, last, total)
            for lane in range(min(LANES, x.shape[2] - start)):
                found[query, start + lane] = total[lane]


@compiled
def cross(x0, summed, crossed):
    """Add to a cross layer's input what it made of it, times the features."""
    for at in range(len(x0)):
        crossed[at] += x0[at] * summed[at]


@compiled
def rectify(given, out):
    """The first of some numbers, as many as `out` has room for, and 0 for what is below it."""
    zero = np.float32(0)
    for at in range(len(out)):
        of = given[at]
        out[at] = zero if of < zero else of


@compiled
def standardise(x, mean, scale, bound, out):
    """(x - mean) * scale of x [F, at most LANES], held within the bound, into rows of LANES.

    What stands in lanes behind the last candidate is not changed.
    """
    for feature in range(len(mean)):
        given, room = x[feature], out[feature * LANES : (feature + 1) * LANES]
        middle, factor = mean[feature], scale[feature]
        for lane in range(len(given)):
            of = (given[lane] - middle) * factor
            of = -bound if of < -bound else of
            room[lane] = bound if of > bound else of


@compiled
def leave_out(items, scores):
    """Make scores [B, K] -inf where items [B, K] int32 are none."""
    for query in range(len(items)):
        for at in range(items.shape[1]):
            if items[query, at] < 0:
                scores[query, at] = -np.inf

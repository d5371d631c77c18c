"""What lies between the matrix products of the ranker's net, in one pass each. [F, K] float32: a row a feature."""

from __future__ import annotations

import numpy as np

from recsys.kernels.compiled import compiled


@compiled
def standardise(x, mean, deviation, bound, out):
    """(x - mean) / deviation, held within the bound."""
    for feature in range(len(x)):
        middle, wide = mean[feature], deviation[feature]
        for at in range(x.shape[1]):
            out[feature, at] = min(max((x[feature, at] - middle) / wide, -bound), bound)


@compiled
def cross(x0, product, x):
    """x_{l+1} = x_0 * (W x_l + b) + x_l, where the product is in brackets, into x."""
    for feature in range(len(x0)):
        for at in range(x0.shape[1]):
            x[feature, at] += x0[feature, at] * product[feature, at]


@compiled
def rectify(x):
    """What is negative becomes 0, in place."""
    zero = np.float32(0)
    for unit in range(len(x)):
        for at in range(x.shape[1]):
            x[unit, at] = max(x[unit, at], zero)

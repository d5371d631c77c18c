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
def cross(x0, product, bias, x):
    """x_{l+1} = x_0 * (W x_l + b) + x_l, where W x_l is the product, into x."""
    for feature in range(len(x0)):
        of = bias[feature]
        for at in range(x0.shape[1]):
            x[feature, at] += x0[feature, at] * (product[feature, at] + of)


@compiled
def rectify(x, bias):
    """The bias is added, and what is negative becomes 0, in place."""
    zero = np.float32(0)
    for unit in range(len(x)):
        of = bias[unit]
        for at in range(x.shape[1]):
            x[unit, at] = max(x[unit, at] + of, zero)

"""Quantization: round embeddings to int8 for a fast first search, and bound the error, so that results are exact.

The search index, the export of item tables and the checks of stored tables use it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.jit import compiled
from recsys.types import F32, I8

ROUNDING = 1e-6
"""Two ways of computing one inner product differ by less than this share of both norms."""

TINY = 1e-30
"""Stands for the largest number of embeddings that are all 0."""

WORD = 4
"""A row of the table has a multiple of so many bytes."""


def rounded(embeddings: F32) -> I8:
    """Embeddings [n, d] as [n, W] int8, padded with zeros to a multiple of WORD. ValueError if one is not finite."""
    table = np.zeros((len(embeddings), width(embeddings.shape[1])), np.int8)
    quantize(np.asarray(embeddings), step(embeddings), table)
    return table


def width(dim: int) -> int:
    """The bytes of a row of `rounded`."""
    return -(-dim // WORD) * WORD


def error(embeddings: F32, table: I8) -> tuple[float, float]:
    """The largest distance between a row of the table and its embedding, and the largest norm of a row."""
    off, long = errors(np.asarray(embeddings), np.asarray(table), step(embeddings))
    return float(off), float(long)


def is_rounded(embeddings: F32, table: I8) -> bool:
    """Whether each number of the table is within half a step of the embedding's. Search in another table is slow."""
    furthest = step(embeddings) * embeddings.shape[1] ** 0.5 / 2
    return bool(error(embeddings, table)[0] <= furthest * (1 + ROUNDING))


def step(embeddings: F32) -> float:
    """The number that 1 in the table stands for."""
    most = float(largest(np.asarray(embeddings)))
    if np.isnan(most):
        raise ValueError("An embedding is not finite.")
    return max(most, TINY) / 127


@compiled
def largest(items):
    """The largest absolute number of items [n, d]; NaN if a number is not finite."""
    most = np.float64(0)
    for row in range(len(items)):
        for column in range(items.shape[1]):
            size = abs(np.float64(items[row, column]))
            if not size < np.inf:
                return np.nan
            most = max(most, size)
    return most


@compiled
def quantize(items, step, out):
    """Write items [n, d] in multiples of `step` into out [n, W] int8, which is zero before."""
    for row in range(len(items)):
        for column in range(items.shape[1]):
            out[row, column] = np.int8(np.rint(np.float64(items[row, column]) / step))


@compiled
def errors(items, rounded, step):
    """The largest distance between a row of rounded [n, W] and of items [n, d]; the largest norm of a rounded row."""
    off, long = np.float64(0), np.float64(0)
    for row in range(len(items)):
        apart, length = np.float64(0), np.float64(0)
        for column in range(items.shape[1]):
            near = rounded[row, column] * step
            apart += (items[row, column] - near) ** 2
            length += near * near
        off, long = max(off, apart), max(long, length)
    return np.sqrt(off), np.sqrt(long)


@compiled
def norms_of(users, longest, most, out):
    """Write the norms of users [B, d] into out [B] float64; the first user whose norm times `longest` reaches `most`.

    -1 if there is no such user. A norm that is NaN reaches every bound.
    """
    beyond = -1
    for query in range(len(users)):
        total = np.float64(0)
        for column in range(users.shape[1]):
            total += np.float64(users[query, column]) ** 2
        out[query] = np.sqrt(total)
        if beyond < 0 and not out[query] * longest < most:
            beyond = query
    return beyond


class TableErrors(NamedTuple):
    """The errors of an int8 table. Norms are of float64.

    off: the largest distance between a row and its embedding. long: the largest norm of a row. step: what 1 stands for.
    product_off, product_least: the error of a float32 inner product with a user, per norm of the user and absolute.
    """

    off: float
    long: float
    step: float
    product_off: float
    product_least: float


@compiled
def quantize_users(users, norms, table, least, farthest, queries, margins):
    """Users [B, d] as int8, and by how much two integer scores may be in the wrong order.

    norms: [B]. table: `TableErrors`. least: the smallest largest number of a user. farthest: the largest margin.
    queries: [B, W] int8, zero before. margins: [B] int64.

    With x', q' the rounded item x and user q: |q.x - q'.x'| <= |q| |x - x'| + |q - q'| |x'|. Two scores may be wrong by
    as much each. An item whose integer score is more than the margin below that of k items is not among the k best.
    """
    for query in range(len(users)):
        most = np.float64(least)
        for column in range(users.shape[1]):
            most = max(most, abs(np.float64(users[query, column])))
        step, rest = most / 127, np.float64(0)
        for column in range(users.shape[1]):
            near = np.rint(users[query, column] / step)
            queries[query, column] = np.int8(near)
            rest += (users[query, column] - near * step) ** 2
        off = norms[query] * (table.off + table.product_off) + np.sqrt(rest) * table.long + table.product_least
        margins[query] = np.int64(min(np.ceil(2 * off / (step * table.step)), np.float64(farthest))) + 1

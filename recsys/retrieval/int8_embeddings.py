"""Item embeddings as bytes: the table that exact search looks through first.

Needs no torch: who only checks a generation imports this and not the index.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels import rounding
from recsys.types import F32, I8

ROUNDING = 1e-6
"""Two ways of computing one inner product differ by less than this share of both norms."""

TINY = 1e-30
"""Stands for the largest number where all are 0."""

WORD = 4
"""Bytes that a row of the table has a whole number of."""


def rounded(embeddings: F32) -> I8:
    """Embeddings [n, d] as bytes: [n, W] int8, d padded with zeros to a whole number of words. ValueError of NaN."""
    table = np.zeros((len(embeddings), width(embeddings.shape[1])), np.int8)
    rounding.fill(np.asarray(embeddings), step(embeddings), table)
    return table


def width(dim: int) -> int:
    """Bytes a row of `rounded` has."""
    return -(-dim // WORD) * WORD


def error(embeddings: F32, table: I8) -> tuple[float, float]:
    """How far a row of bytes is from its embedding, and how long one is, at most."""
    off, long = rounding.errors(np.asarray(embeddings), np.asarray(table), step(embeddings))
    return float(off), float(long)


def is_rounded(embeddings: F32, table: I8) -> bool:
    """Whether each number of the table is within half a step of its embedding's; of others the search would be slow."""
    furthest = step(embeddings) * embeddings.shape[1] ** 0.5 / 2
    return bool(error(embeddings, table)[0] <= furthest * (1 + ROUNDING))


def step(embeddings: F32) -> float:
    """What one step of a byte stands for."""
    most = float(rounding.largest(np.asarray(embeddings)))
    if np.isnan(most):
        raise ValueError("An embedding is not finite.")
    return max(most, TINY) / 127

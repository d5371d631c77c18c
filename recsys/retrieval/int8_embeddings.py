"""Round item embeddings to int8, for the compact table that the search for the best items reads first.

It imports neither torch nor numkong, because the checks of stored tables import it.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels import quantization
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
    quantization.quantize(np.asarray(embeddings), step(embeddings), table)
    return table


def width(dim: int) -> int:
    """The bytes of a row of `rounded`."""
    return -(-dim // WORD) * WORD


def error(embeddings: F32, table: I8) -> tuple[float, float]:
    """The largest distance between a row of the table and its embedding, and the largest norm of a row."""
    off, long = quantization.errors(np.asarray(embeddings), np.asarray(table), step(embeddings))
    return float(off), float(long)


def is_rounded(embeddings: F32, table: I8) -> bool:
    """Whether each number of the table is within half a step of the embedding's. Search in another table is slow."""
    furthest = step(embeddings) * embeddings.shape[1] ** 0.5 / 2
    return bool(error(embeddings, table)[0] <= furthest * (1 + ROUNDING))


def step(embeddings: F32) -> float:
    """The number that 1 in the table stands for."""
    most = float(quantization.largest(np.asarray(embeddings)))
    if np.isnan(most):
        raise ValueError("An embedding is not finite.")
    return max(most, TINY) / 127

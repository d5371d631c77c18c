"""Matrix and inner products of float32 whose result for one row of a matrix does not depend on the other rows.

A BLAS product of one row changes in its last bits with the number of rows. A request's scores would then depend on the
other requests of its batch.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels.jit import compiled

TOGETHER = 8
"""Rows whose sums stay in the first cache of a core while each row of the matrix is read once for all of them."""


@compiled(fastmath={"reassoc", "contract"})
def inner(ones, one, others, other):
    """The inner product of ones[one] and others[other]. The order of the sum depends only on the length."""
    total = np.float32(0)
    for at in range(ones.shape[1]):
        total += ones[one, at] * others[other, at]
    return total


@compiled(fastmath={"contract"})
def add_product(rows, matrix, out):
    """Add rows [R, I] times matrix [I, C] to out [R, C]. Each sum is in the order of the I inputs.

    Two rows and four inputs at once: each number of the matrix and of the sums is read and written less often.
    """
    whole, pairs = rows.shape[1] - rows.shape[1] % 4, len(rows) - len(rows) % 2
    for start in range(0, len(rows), TOGETHER):
        past = min(start + TOGETHER, pairs)
        for at in range(0, whole, 4):
            for row in range(start, past, 2):
                one, two, three, four = rows[row, at], rows[row, at + 1], rows[row, at + 2], rows[row, at + 3]
                below = row + 1
                five, six, seven, eight = rows[below, at], rows[below, at + 1], rows[below, at + 2], rows[below, at + 3]
                for column in range(matrix.shape[1]):
                    first, second = matrix[at, column], matrix[at + 1, column]
                    third, fourth = matrix[at + 2, column], matrix[at + 3, column]
                    out[row, column] = out[row, column] + one * first + two * second + three * third + four * fourth
                    out[below, column] = (
                        out[below, column] + five * first + six * second + seven * third + eight * fourth
                    )
        for at in range(whole, rows.shape[1]):
            for row in range(start, past):
                add_input(rows, row, at, matrix, out)
    for row in range(pairs, len(rows)):
        for at in range(rows.shape[1]):
            add_input(rows, row, at, matrix, out)


@compiled(fastmath={"contract"})
def add_input(rows, row, at, matrix, out):
    """Add one input of one row to its sums."""
    factor = rows[row, at]
    for column in range(matrix.shape[1]):
        out[row, column] += factor * matrix[at, column]

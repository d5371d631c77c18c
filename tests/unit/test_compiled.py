"""What kernels are spared: they count nobody who holds what they are given."""

from types import FunctionType

import numpy as np
import pytest
from numba.core.errors import NumbaError

from recsys.grown import table
from recsys.kernels.compiled import compiled
from recsys.kernels.sources import score


def unkept(function):
    """The function as if it stood in no file: nothing that was compiled of it is taken, and nothing is kept."""
    return FunctionType(function.__code__.replace(co_filename="<nowhere>"), function.__globals__, function.__name__)


def total(rows):
    """Makes an array, of many rows alone."""
    return np.zeros(len(rows)).sum() if len(rows) > 9 else 1.0


@pytest.mark.parametrize("makes_arrays", [False, True])
def test_nothing_is_counted_where_no_array_is_made(makes_arrays):
    """Of a kernel that takes rows in a loop for others; were it one that makes arrays, it would count."""
    kernel = compiled(unkept(score.py_func), makes_arrays=makes_arrays)
    users, items = np.float32([[1, 2], [3, 4]]), np.int32([[0, 2], [1, -1]])
    embeddings, out = table(np.float32([[1, 0], [0, 1], [1, 1]])), np.empty((2, 2), np.float32)
    kernel(users, embeddings, items, out)
    assert out.tolist() == [[1, 3], [4, -np.inf]]
    [signature] = kernel.signatures
    assert ("call void @NRT_incref" in kernel.inspect_llvm(signature)) == makes_arrays


def test_a_kernel_that_makes_an_array_has_to_say_so():
    """It is refused when it is compiled, and not when a request comes that needs the array."""
    few = np.zeros((3, 2))
    assert compiled(unkept(total), makes_arrays=True)(few) == 1
    with pytest.raises(NumbaError, match=r"array passed into the function|NRT required"):
        compiled(unkept(total))(few)

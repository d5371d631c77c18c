"""The rows of a batch are answered by generation, and a row that can't be answered fails alone."""

import time

import numpy as np
import pytest

from recsys.errors import GenerationError
from service.backends import wire
from service.backends.models import answer_each

FAILED = b"failed"
LATER = time.time() + 3600


def table(*heads):
    made = np.zeros(len(heads), wire.RETRIEVE)
    made["now"] = np.arange(len(heads))
    return made


def answered(*heads, broken=()):
    """The record of each row, and the generation and rows of every call."""
    calls = []

    def answer(generation, queries):
        rows = queries["now"].astype(int).tolist()
        calls.append((generation, rows))
        if generation == "gone":
            raise GenerationError("It is not here.")
        if {*rows} & {*broken}:
            raise ValueError("poison")
        return [f"{generation} {row}".encode() for row in rows]

    return answer_each(heads, table(*heads), FAILED, answer), calls


def test_a_row_that_would_be_late_is_not_computed():
    """The other rows are answered. A deadline of NaN is not late."""
    heads = ("a", LATER), ("a", time.time() - 1), ("b", time.time()), ("a", float("nan"))
    assert answered(*heads) == ([b"a 0", FAILED, FAILED, b"a 3"], [("a", [0, 3])])
    assert answered(heads[1]) == ([FAILED], [])
    assert answered() == ([], [])


def test_generations_are_answered_apart():
    """The rows of each generation together. A generation that is not loaded fails its own rows."""
    heads = [(name, LATER) for name in ("a", "b", "a", "gone", "b")]
    records, calls = answered(*heads)
    assert records == [b"a 0", b"b 1", b"a 2", FAILED, b"b 4"]
    assert calls == [("a", [0, 2]), ("b", [1, 4]), ("gone", [3])]


@pytest.mark.parametrize("broken", [(0,), (2,), (0, 2), (0, 1, 2)])
def test_a_row_that_breaks_fails_alone(broken):
    """The other rows are answered in a batch of the same size."""
    records, calls = answered(*[("a", LATER)] * 3, broken=broken)
    assert [record == FAILED for record in records] == [row in broken for row in range(3)]
    if len(broken) < 3:
        assert len(calls[-1][1]) == 3

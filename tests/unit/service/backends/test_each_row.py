"""Rows of a batch are answered by generation, and what can't be answered fails alone."""

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
    """What each row was told, and the generation and rows of every call."""
    calls = []

    def answer(generation, asked):
        rows = asked["now"].astype(int).tolist()
        calls.append((generation, rows))
        if generation == "gone":
            raise GenerationError("It is not here.")
        if {*rows} & {*broken}:
            raise ValueError("poison")
        return [f"{generation} {row}".encode() for row in rows]

    return answer_each(heads, table(*heads), FAILED, answer), calls


def test_what_would_come_too_late_is_not_computed():
    """And its neighbours do not notice; a moment that is none is not late."""
    heads = ("a", LATER), ("a", time.time() - 1), ("b", time.time()), ("a", float("nan"))
    assert answered(*heads) == ([b"a 0", FAILED, FAILED, b"a 3"], [("a", [0, 3])])
    assert answered(heads[1]) == ([FAILED], [])
    assert answered() == ([], [])


def test_generations_are_answered_apart():
    """Each at once, in the order in which they come; one that is not here fails its own rows."""
    heads = [(name, LATER) for name in ("a", "b", "a", "gone", "b")]
    told, calls = answered(*heads)
    assert told == [b"a 0", b"b 1", b"a 2", FAILED, b"b 4"]
    assert calls == [("a", [0, 2]), ("b", [1, 4]), ("gone", [3])]


@pytest.mark.parametrize("broken", [(0,), (2,), (0, 2), (0, 1, 2)])
def test_a_row_that_breaks_fails_alone(broken):
    """The others are answered in a batch of the same size."""
    told, calls = answered(*[("a", LATER)] * 3, broken=broken)
    assert [record == FAILED for record in told] == [row in broken for row in range(3)]
    if len(broken) < 3:
        assert len(calls[-1][1]) == 3

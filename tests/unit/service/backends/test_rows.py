"""Rows between the gateway and its backends: their bytes, and the answer of each row of a batch."""

import time

import numpy as np
import pytest

from recsys.errors import GenerationError
from recsys.types import CONTEXTS, HISTORY_LENGTH
from service.backends import wire
from service.backends.models import answer_each

NO_CONTEXT = np.zeros(CONTEXTS, np.uint8)
FAILED = b"failed"
LATER = time.time() + 3600


def test_a_row_has_the_newest_events_of_a_long_history():
    """As many as the models take."""
    long = HISTORY_LENGTH + 7
    history = np.arange(long, dtype=np.int32), np.arange(long, dtype=np.float64), np.ones(long, np.uint8)
    written = wire.history_record("g", 1.0, history, 5.0, NO_CONTEXT)
    (record,) = wire.as_table(wire.query_rows(wire.HISTORY, [written]), wire.HISTORY)
    assert record["history_items"].tolist() == list(range(7, long))
    assert record["times"].tolist() == list(range(7, long))


@pytest.mark.parametrize(
    ("scores", "complete"), [([1.0, 2.0], True), ([1.0, -np.inf], False), ([0.5, 1.0, -np.inf], True)]
)
def test_a_missing_score_is_found(scores, complete):
    """Among the scores of the candidates; the padding has no scores."""
    table = np.zeros(1, wire.RANKED)
    table["scores"] = -np.inf
    table["scores"][0, : len(scores)] = scores
    assert wire.scores(bytearray(table.tobytes()), 2)[1] == complete
    assert wire.scores(bytearray(table.tobytes()), 2)[0].tolist() == scores[:2]


def answered(*heads):
    """The record of each row, and the generation and rows of every call."""
    queries, calls = np.zeros(len(heads), wire.RETRIEVE), []
    queries["now"] = np.arange(len(heads))

    def answer(generation, queries):
        rows = queries["now"].astype(int).tolist()
        calls.append((generation, rows))
        if generation == "gone":
            raise GenerationError("It is not here.")
        return [f"{generation} {row}".encode() for row in rows]

    return answer_each(heads, queries, FAILED, answer), calls


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

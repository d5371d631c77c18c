"""A column of a generation as kernels read it, with the rows of items put since behind it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.compiled import compiled
from recsys.kernels.fetch import fetch


class Table(NamedTuple):
    """base: [n, ...]. late: [m] int32, rows from n on, ascending, with gaps. tail: [m, ...], theirs."""

    base: np.ndarray
    late: np.ndarray
    tail: np.ndarray


AHEAD, SOON = 16, 4
"""How many rows before it is needed one is asked for, and of a row of neighbours, which is eight lines long."""


@compiled
def locate(n, late, row):
    """Where a row stands: in a base of n rows, or behind it, n and its place among `late` [m]; -1 where it is none."""
    if row < n:
        return np.int64(row) if row >= 0 else np.int64(-1)
    at = np.searchsorted(late, row)
    return n + at if at < len(late) and late[at] == row else np.int64(-1)


@compiled
def all_known(n, late, items):
    """Whether each of items [B, K] int32 is a row of a base of n, one of `late` [m], or none."""
    for query in range(len(items)):
        for at in range(items.shape[1]):
            row = items[query, at]
            if row != -1 and locate(n, late, row) < 0:
                return False
    return True


@compiled
def ahead(table, items, query, at, count):
    """Ask for the row of what stands AHEAD places behind one of items [B, K]; a query's first `count` are real."""
    if at + AHEAD < count:
        row = items[query, at + AHEAD]
        if 0 <= row < len(table):
            fetch(table, row)


@compiled
def soon(rows, weights, voters, query, step):
    """Ask for the neighbours of who votes next: of each of voters [B, R] once, SOON steps before they are read."""
    start, past = asked_at(step, voters.shape[1])
    for at in range(start, past):
        voter = voters[query, at]
        if 0 <= voter < len(rows):
            fetch(rows, voter)
            fetch(weights, voter)


@compiled
def asked_at(step, count):
    """Which of `count` are asked for at a step, from one to before another: at the first as many as at all later."""
    return (step + SOON if step else 0), min(step + SOON + 1, count)

"""Boosts and buries: scores moved by standard deviations of the candidates' scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.filters.compiled_conditions import meets
from recsys.rules.catalogue import Catalogue
from recsys.rules.compiled_rules import CompiledShift
from recsys.types import F32, I32

Moved = dict[int, tuple[str, ...]]
"""By row, the words of what moved it."""


def shifted(items: I32, told: F32, shifts: Sequence[CompiledShift], catalogue: Catalogue) -> tuple[F32, Moved]:
    """The told scores of items [n] with what boosts add and buries take, and which rows they moved."""
    moved: Moved = {}
    if not shifts or not len(items):
        return told, moved
    scores, spread = told.copy(), float(np.std(told)) or 1.0
    content, numbers = catalogue.content(items), catalogue.numbers(items)
    for shift in shifts:
        if shift.items:
            meant = np.isin(items, catalogue.rows_of(shift.items))
        else:
            meant = meets(shift.matches, content, numbers)
        scores[meant] += np.float32(shift.by * spread)
        for row in items[meant].tolist():
            moved[row] = (*moved.get(row, ()), shift.word)
    return scores, moved

"""Rules as one generation understands them: columns and values as content tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from recsys.rules.document import Boost, Bury, Rules
from recsys.spec import FeatureSpec
from recsys.types import I32, Id

WHOLE = 2**31
"""More places than a slate has, a request's or one of `flows batch`: a hundred at most."""


@dataclass(frozen=True)
class CompiledCap:
    """tokens: the content tokens of the column, ascending, of so many in all; names: what each is called."""

    tokens: I32
    names: Mapping[int, str]
    at_most: int
    within: int
    vocabulary: int


@dataclass(frozen=True)
class CompiledShift:
    """by: standard deviations, negative to bury. tokens: an item with all of them is meant; items: or one of these."""

    word: str
    by: float
    tokens: I32
    items: Sequence[Id]


@dataclass(frozen=True)
class CompiledRules:
    """rules: as they were written. inactive: sentences on those that mean nothing in this generation."""

    rules: Rules
    caps: Sequence[CompiledCap] = ()
    shifts: Sequence[CompiledShift] = ()
    inactive: Sequence[str] = field(default_factory=tuple)


def compiled(rules: Rules, spec: FeatureSpec) -> CompiledRules:
    """What rules mean for a generation; a column or a value that it lacks leaves that rule alone inactive."""
    rows, inactive = spec.token_rows(), []
    caps, shifts = [], []
    columns = [column for column in spec.content_columns if column not in spec.edges]
    for cap in rules.cap:
        if cap.column not in columns:
            inactive.append(_no_column("cap", cap.column, columns))
            continue
        names = {row: token for token, row in rows.items() if token.startswith(f"{cap.column}=")}
        of_column = np.array(sorted(names), np.int32)
        caps.append(CompiledCap(of_column, names, cap.at_most, cap.within or WHOLE, len(spec.tokens)))
    for word, told in (("boost", rules.boost), ("bury", rules.bury)):
        for shift in told:
            missing = _missing(word, shift, rows, columns)
            if missing:
                inactive.append(missing)
                continue
            tokens = [rows[f"{column}={value}"] for column, value in shift.where.items()]
            by = shift.by if word == "boost" else -shift.by
            shifts.append(CompiledShift(word, by, np.array(tokens, np.int32), tuple(shift.items)))
    return CompiledRules(rules, tuple(caps), tuple(shifts), tuple(inactive))


def _missing(word: str, shift: Boost | Bury, rows: Mapping[str, int], columns: Sequence[str]) -> str | None:
    for column, value in shift.where.items():
        if column not in columns:
            return _no_column(word, column, columns)
        if f"{column}={value}" not in rows:
            return f"{word}: no item of this generation has {column} = {value!r}."
    return None


def _no_column(word: str, column: str, columns: Sequence[str]) -> str:
    there = f"it has {', '.join(columns)}" if columns else "it has none"
    return f"{word}: this generation has no categorical column {column!r}; {there}."

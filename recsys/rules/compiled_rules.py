"""Rules as one generation understands them: columns and values as content tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recsys.filters.compiled_conditions import ConditionError, Match, TokenMatch, match, matches
from recsys.model.feature_spec import FeatureSpec
from recsys.rules.document import Boost, Bury, Rules
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
    """by: standard deviations, negative to bury. matches: an item that meets all is meant; items: or one of these."""

    word: str
    by: float
    matches: tuple[Match, ...]
    items: Sequence[Id]


@dataclass(frozen=True)
class CompiledRules:
    """rules: as they were written. inactive: sentences on those that mean nothing in this generation."""

    rules: Rules
    caps: Sequence[CompiledCap] = ()
    shifts: Sequence[CompiledShift] = ()
    inactive: Sequence[str] = field(default_factory=tuple)

    @cached_property
    def filters(self) -> CompiledRules:
        """Of these rules those that keep items out; the order of the scores stands."""
        kept = Rules(hide_unavailable=self.rules.hide_unavailable, exclude_seen=self.rules.exclude_seen)
        return CompiledRules(kept)


def compiled(rules: Rules, spec: FeatureSpec) -> CompiledRules:
    """What rules mean for a generation; a column, value or context that it lacks leaves that rule alone inactive."""
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
            missing = _missing(word, shift, rows, spec)
            if missing:
                inactive.append(missing)
                continue
            by = shift.by if word == "boost" else -shift.by
            shifts.append(CompiledShift(word, by, matches(shift.where, spec), tuple(shift.items)))
    contexts = [column for column, _ in spec.contexts]
    for pin in rules.pin:
        unknown = [column for column in pin.context if column not in contexts]
        inactive += [_no_column("pin", column, contexts, "context") for column in unknown[:1]]
    return CompiledRules(rules, tuple(caps), tuple(shifts), tuple(inactive))


def unknown_items(rules: Rules, find: Callable[[Sequence[Id]], Sequence[int | None]]) -> list[str]:
    """Sentences on rules that name items which a catalogue lacks now; find: the row of each, None for such a one."""
    shifts = [("boost", shift.items) for shift in rules.boost] + [("bury", shift.items) for shift in rules.bury]
    told = []
    for word, items in [*(("pin", [pin.item]) for pin in rules.pin), *shifts]:
        unknown = [item for item, row in zip(items, find(items), strict=True) if row is None] if items else []
        if unknown:
            more = f", and {len(unknown) - 1} more of its ids are unknown" if len(unknown) > 1 else ""
            told.append(f"{word}: no item of this generation, nor any put since, is {unknown[0]!r}{more}.")
    return told


def _missing(word: str, shift: Boost | Bury, rows: Mapping[str, int], spec: FeatureSpec) -> str | None:
    for column, condition in shift.where.items():
        if column not in spec.content_columns:
            return _no_column(word, column, spec.content_columns, "item")
        try:
            wanted = match(column, condition, spec)
        except ConditionError as error:
            return f"{word}: column {column!r}: {error}"
        if isinstance(wanted, TokenMatch) and isinstance(condition, Sequence):
            for value in condition:
                if f"{column}={value}" not in rows:
                    return f"{word}: no item of this generation has {column} = {value!r}."
    return None


def _no_column(word: str, column: str, columns: Sequence[str], kind: str = "categorical") -> str:
    there = f"it has {', '.join(columns)}" if columns else "it has none"
    return f"{word}: this generation has no {kind} column {column!r}; {there}."

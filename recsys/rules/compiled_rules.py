"""Translate (compile) business rules for fast checks: a text such as genre = "Drama" becomes integers of item tables.

The tables are those of one generation, a trained set of models and tables. A rule on a column or value that the
generation lacks has no effect in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recsys.filters.compiled_conditions import ConditionError, Match, TokenMatch, match, matches
from recsys.model.feature_spec import FeatureSpec
from recsys.rules.rules_schema import Boost, Bury, Rules
from recsys.types import I32, Id

UNLIMITED = 2**31
"""The `within` of a cap on the whole slate, which has at most 100 places."""


@dataclass(frozen=True)
class CompiledCap:
    """tokens: of the column, ascending. names: each token as text. vocabulary: the number of all tokens."""

    tokens: I32
    names: Mapping[int, str]
    at_most: int
    within: int
    vocabulary: int


@dataclass(frozen=True)
class CompiledBoost:
    """A boost or a bury of the items that meet all `matches`, or of `items`.

    rule: boost or bury. by: standard deviations, negative to bury.
    """

    rule: str
    by: float
    matches: tuple[Match, ...]
    items: Sequence[Id]


@dataclass(frozen=True)
class CompiledRules:
    """rules: the file. inactive: a sentence on each rule that has no effect in this generation."""

    rules: Rules
    caps: Sequence[CompiledCap] = ()
    boosts: Sequence[CompiledBoost] = ()
    inactive: Sequence[str] = field(default_factory=tuple)

    @cached_property
    def filters(self) -> CompiledRules:
        """The rules that exclude items, without those that change the order."""
        kept = Rules(hide_unavailable=self.rules.hide_unavailable, exclude_seen=self.rules.exclude_seen)
        return CompiledRules(kept)


def compile_rules(rules: Rules, spec: FeatureSpec) -> CompiledRules:
    """Translate rules. A rule with a column, value or context that the generation lacks is inactive."""
    rows, inactive = spec.token_rows, []
    caps, boosts = [], []
    columns = [column for column in spec.columns if column not in spec.edges]
    for cap in rules.cap:
        if cap.column not in columns:
            inactive.append(_no_column("cap", cap.column, columns))
            continue
        names = {row: token for token, row in rows.items() if token.startswith(f"{cap.column}=")}
        of_column = np.array(sorted(names), np.int32)
        caps.append(CompiledCap(of_column, names, cap.at_most, cap.within or UNLIMITED, len(spec.tokens)))
    for rule, signed in (("boost", 1), ("bury", -1)):
        for boost in getattr(rules, rule):
            missing = _missing(rule, boost, rows, spec)
            if missing:
                inactive.append(missing)
                continue
            boosts.append(CompiledBoost(rule, signed * boost.by, matches(boost.where, spec), tuple(boost.items)))
    contexts = [column for column, _ in spec.contexts]
    for pin in rules.pin:
        unknown = [column for column in pin.context if column not in contexts]
        inactive += [_no_column("pin", column, contexts, "context") for column in unknown[:1]]
    return CompiledRules(rules, tuple(caps), tuple(boosts), tuple(inactive))


def unknown_items(rules: Rules, find: Callable[[Sequence[Id]], Sequence[int | None]]) -> list[str]:
    """A sentence on each rule with items that the catalogue lacks; find: the row of each item, None without one."""
    named = [("pin", [pin.item]) for pin in rules.pin]
    named += [("boost", boost.items) for boost in rules.boost] + [("bury", bury.items) for bury in rules.bury]
    sentences = []
    for rule, items in named:
        unknown = [item for item, row in zip(items, find(items), strict=True) if row is None] if items else []
        if unknown:
            more = f", and {len(unknown) - 1} more of its ids are unknown" if len(unknown) > 1 else ""
            sentences.append(f"{rule}: no item of this generation, nor any put since, is {unknown[0]!r}{more}.")
    return sentences


def _missing(rule: str, boost: Boost | Bury, rows: Mapping[str, int], spec: FeatureSpec) -> str | None:
    for column, condition in boost.where.items():
        if column not in spec.columns:
            return _no_column(rule, column, spec.columns, "item")
        try:
            wanted = match(column, condition, spec)
        except ConditionError as error:
            return f"{rule}: column {column!r}: {error}"
        if isinstance(wanted, TokenMatch) and isinstance(condition, Sequence):
            for value in condition:
                if f"{column}={value}" not in rows:
                    return f"{rule}: no item of this generation has {column} = {value!r}."
    return None


def _no_column(rule: str, column: str, columns: Sequence[str], kind: str = "categorical") -> str:
    columns_there = f"it has {', '.join(columns)}" if columns else "it has none"
    return f"{rule}: this generation has no {kind} column {column!r}; {columns_there}."

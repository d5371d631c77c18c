"""What the event types of a dataset mean, and which past events keep an item out of slates.

Both values are part of a generation, so that training, serving and the flows apply the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recsys.types import F32, F64, I32, PAD, U8, Bool

UNDECLARED = "interaction"
"""The only event type of a dataset that names no column of event types: any type that is sent then counts as this."""

IMPRESSION = "impression"
"""An event that says that an item was shown. It is never part of a history."""

NEVER, FOREVER = 0.0, np.inf
"""Until when an item is hidden that is not hidden at all, and one that is always hidden."""


@dataclass(frozen=True)
class EventRules:
    """The meaning of each event type.

    weights: how much an event of a type counts; 1 where a type is not named. targets: types that slates should lead to;
    every positive type where none is named. negative: types that revoke the user's earlier events with the same item.
    ignored: types that are dropped. refuse_unknown: whether an event of a type that training never saw is an error.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    refuse_unknown: bool = False

    def weight(self, event_type: str) -> float:
        """How much one event of a type counts towards an item; 0 for one that is negative or ignored."""
        if event_type in self.negative or self.ignores(event_type):
            return 0.0
        return float(self.weights.get(event_type, 1.0))

    def ignores(self, event_type: str) -> bool:
        """Whether events of a type are dropped."""
        return event_type == IMPRESSION or event_type in self.ignored

    def is_target(self, event_type: str) -> bool:
        """Whether slates should lead to events of a type."""
        return event_type in self.targets if self.targets else self.weight(event_type) > 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in a spec."""
        return {
            "weights": dict(self.weights),
            "targets": list(self.targets),
            "negative": list(self.negative),
            "ignored": list(self.ignored),
            "refuse_unknown": self.refuse_unknown,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> EventRules:
        """Inverse of `to_json`."""
        return cls(
            dict(raw["weights"]),
            tuple(raw["targets"]),
            tuple(raw["negative"]),
            tuple(raw["ignored"]),
            bool(raw["refuse_unknown"]),
        )


@dataclass(frozen=True, slots=True)
class SeenRule:
    """Which of a user's past items are left out of slates: those with an event of `types` within the last `days`.

    excludes: False leaves none out. types: every type where it is empty. days: None for all time. An item of a negative
    event counts whatever `types` are.
    """

    excludes: bool = True
    types: tuple[str, ...] = ()
    days: float | None = None

    @property
    def everything(self) -> bool:
        """Whether every item that the user ever had is left out."""
        return self.excludes and not self.types and self.days is None

    def hides(self, event_type: str, rules: EventRules) -> bool:
        """Whether an event of a type keeps its item out of slates."""
        return self.excludes and (not self.types or event_type in self.types or event_type in rules.negative)

    def mask(self, event_types: Sequence[str], rules: EventRules) -> Bool:
        """`hides` for each of the spec's event types: [T] bool."""
        return np.array([self.hides(name, rules) for name in event_types] or [self.excludes], bool)

    def until(self, types: U8, times: F64, hiding: Bool) -> F64:
        """Until when each event keeps its item out of slates, unix seconds; types: rows of `hiding`, from `mask`."""
        end = np.full(len(times), FOREVER) if self.days is None else times + self.days * 86_400.0
        return np.where(hiding[types], end, NEVER)

    def in_words(self, rules: EventRules) -> str:
        """Which items are left out, for a sentence."""
        named = [repr(name) for name in dict.fromkeys((*self.types, *rules.negative))] if self.types else []
        kind = f"an event of type {' or '.join(named)}" if named else "any event"
        within = f" in the last {self.days:g} days" if self.days is not None else ""
        return f"items with which the user has {kind}{within}"

    def footer(self, rules: EventRules) -> str:
        """Which items a ranking under this rule leaves out, for the footer of a table of metrics."""
        if not self.excludes:
            return "seen items ranked"
        return "seen items out" if self.everything else f"{self.in_words(rules)} out"

    def to_json(self) -> bool | dict[str, Any]:
        """As it stands in a manifest: true, false or the types and days."""
        if not self.excludes or self.everything:
            return self.excludes
        return {"types": list(self.types), "days": self.days}

    @classmethod
    def from_json(cls, raw: bool | Mapping[str, Any]) -> SeenRule:
        """Inverse of `to_json`."""
        if isinstance(raw, bool):
            return cls(excludes=raw)
        return cls(True, tuple(raw.get("types") or ()), raw.get("days"))


def standing(items: I32, types: U8, negative: Bool) -> Bool:
    """Which events of histories [B, H] still stand: not negative, and with no later negative event of their item.

    types: rows of `negative` [T] bool, which says what types are negative. Oldest first; PAD stays as it is.
    """
    kept = np.ones(items.shape, bool)
    for row, at in zip(*np.nonzero(negative[types] & (items != PAD)), strict=True):
        kept[row, : at + 1] &= items[row, : at + 1] != items[row, at]
    return kept


def weights_of(event_types: Sequence[str], rules: EventRules) -> F32:
    """The weight of each of the spec's event types: [T] float32."""
    return np.array([rules.weight(name) for name in event_types] or [1.0], np.float32)

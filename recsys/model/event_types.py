"""The meaning of event types, such as click or purchase, and the rule that keeps seen items out of recommendations.

Both are stored with the trained models: training, serving and flows apply the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from recsys.types import F32, F64, I32, PAD, U8, Bool

UNDECLARED = "interaction"
"""The only event type of a dataset without a column of event types. Events of any type count as this one."""

IMPRESSION = "impression"
"""The type of an event for a shown item, which is never part of a history."""

NEVER, FOREVER = 0.0, np.inf
"""The end time of the exclusion of an item that is never excluded, and of one that always is."""


@dataclass(frozen=True)
class EventRules:
    """The meaning of each event type.

    weights: of an event, by type; 1 by default. targets: types that recommendations should lead to; every positive type
    if empty. negative: types that revoke the user's earlier events with the same item. ignored: types that are dropped.
    refuse_unknown: whether an event of a type that is not in the training data is an error.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    refuse_unknown: bool = False

    def weight(self, event_type: str) -> float:
        """The weight of an event of a type; 0 for a negative or ignored type."""
        if event_type in self.negative or self.ignores(event_type):
            return 0.0
        return float(self.weights.get(event_type, 1.0))

    def ignores(self, event_type: str) -> bool:
        """Whether events of a type are dropped."""
        return event_type == IMPRESSION or event_type in self.ignored

    def is_target(self, event_type: str) -> bool:
        """Whether recommendations should lead to events of a type."""
        return event_type in self.targets if self.targets else self.weight(event_type) > 0

    def to_json(self) -> dict[str, Any]:
        """As a part of the feature spec."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> EventRules:
        """Inverse of `to_json`."""
        types = {name: tuple(raw[name]) for name in ("targets", "negative", "ignored")}
        return cls(dict(raw["weights"]), **types, refuse_unknown=bool(raw["refuse_unknown"]))


@dataclass(frozen=True, slots=True)
class SeenRule:
    """Which past items of a user are not recommended: those with an event of `types` within the last `days`.

    excludes: False excludes none. types: all types if empty. days: None for all time. Items of negative events are
    always excluded.
    """

    excludes: bool = True
    types: tuple[str, ...] = ()
    days: float | None = None

    @property
    def everything(self) -> bool:
        """Whether all items in the user's history are excluded."""
        return self.excludes and not self.types and self.days is None

    def hides(self, event_type: str, rules: EventRules) -> bool:
        """Whether an event of a type excludes its item from recommendations."""
        return self.excludes and (not self.types or event_type in self.types or event_type in rules.negative)

    def mask(self, event_types: Sequence[str], rules: EventRules) -> Bool:
        """`hides` for each of the spec's event types: [T] bool."""
        return np.array([self.hides(name, rules) for name in event_types] or [self.excludes], bool)

    def until(self, types: U8, times: F64, hiding: Bool) -> F64:
        """The time until which each event excludes its item, unix seconds; types: rows of `hiding`, from `mask`."""
        end = np.full(len(times), FOREVER) if self.days is None else times + self.days * 86_400.0
        return np.where(hiding[types], end, NEVER)

    def in_words(self, rules: EventRules) -> str:
        """The excluded items in words, for a sentence."""
        named = [repr(name) for name in dict.fromkeys((*self.types, *rules.negative))] if self.types else []
        kind = f"an event of type {' or '.join(named)}" if named else "any event"
        within = f" in the last {self.days:g} days" if self.days is not None else ""
        return f"items with which the user has {kind}{within}"

    def footer(self, rules: EventRules) -> str:
        """The excluded items in words, for the footer of a metric table."""
        if not self.excludes:
            return "seen items ranked"
        return "seen items out" if self.everything else f"{self.in_words(rules)} out"

    def to_json(self) -> bool | dict[str, Any]:
        """As a part of the manifest: true, false, or the types and days."""
        if not self.excludes or self.everything:
            return self.excludes
        return {"types": list(self.types), "days": self.days}

    @classmethod
    def from_json(cls, raw: bool | Mapping[str, Any]) -> SeenRule:
        """Inverse of `to_json`."""
        if isinstance(raw, bool):
            return cls(excludes=raw)
        return cls(True, tuple(raw.get("types") or ()), raw.get("days"))


def not_revoked(items: I32, types: U8, negative: Bool) -> Bool:
    """Which events of histories [B, H], oldest first, are neither negative nor revoked by a later negative event.

    types: rows of `negative` [T] bool, the types that are negative. True at padding.
    """
    kept = np.ones(items.shape, bool)
    for row, at in zip(*np.nonzero(negative[types] & (items != PAD)), strict=True):
        kept[row, : at + 1] &= items[row, : at + 1] != items[row, at]
    return kept


def weights_of(event_types: Sequence[str], rules: EventRules) -> F32:
    """The weight of each of the spec's event types: [T] float32."""
    return np.array([rules.weight(name) for name in event_types] or [1.0], np.float32)

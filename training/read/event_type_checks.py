"""Check the event types of a log (view, purchase ...) against those that its `dataset.toml` names in [events] and
`exclude_seen`.

A type without a meaning is an error. What is assumed of the types becomes a sentence for the operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from recsys.errors import DatasetError
from recsys.model.event_types import IMPRESSION, UNDECLARED
from training.read.mapping import Mapping

MOST_TYPES = 255
"""Event types of a dataset, at most: a type is one byte. A column with more holds ids or times."""

SHOWN = 12
"""Event types that a sentence lists."""

TAKES_BACK = {
    *("refund", "refunded", "return", "returned", "chargeback", "cancel", "canceled", "cancelled", "cancellation"),
    *("dislike", "disliked", "downvote", "thumbs_down", "hide", "block", "report", "unlike", "unfollow", "unsubscribe"),
    *("remove", "removed", "remove_from_cart", "delete"),
    *("storno", "stornierung", "storniert", "retoure", "retour", "remboursement", "annulation"),
    *("devolucion", "devolución", "reembolso", "rimborso", "reso"),
}
"""Names of types that most often revoke an event. Without [events] they would count as interest in the item."""


class LogTypes:
    """The event types of a log, by row number, as the sentences of errors show them."""

    def __init__(self, mapping: Mapping, types: pd.Series) -> None:
        self.path, self._types = mapping.path, types
        self.column = mapping.toml.interactions.event_type
        self.counts = {str(name): int(count) for name, count in types.value_counts().items() if count}

    def listed(self, names: Iterable[str] | None = None) -> str:
        """The first types with the number of their events."""
        return ", ".join(f"'{name}' ({self.counts[name]:,})" for name in list(names or self.counts)[:SHOWN])

    def rows(self, name: str) -> str:
        """Up to two rows that hold a type, as they are numbered in the file."""
        rows = self._types.index[self._types == name][:2]
        return f"row{'s' if len(rows) > 1 else ''} {' and '.join(f'{row:,}' for row in rows)}"

    def require(self, names: Sequence[str], entry: str) -> None:
        """DatasetError if no event has a type that an entry names."""
        for name in names:
            if name not in self.counts:
                there = (f"'{known}' ({count:,}) in {self.rows(known)}" for known, count in self.counts.items())
                raise DatasetError(
                    f"{self.path}: {entry} names '{name}', and no row of column '{self.column}' has it. It has "
                    f"{', '.join([*there][:SHOWN])}."
                )


def check_event_types(mapping: Mapping, types: pd.Series) -> list[str]:
    """A sentence for each thing that is assumed or has no effect. DatasetError for a type without a meaning."""
    log, events = LogTypes(mapping, types), mapping.toml.events
    if len(log.counts) > MOST_TYPES:
        raise DatasetError(
            f"Column '{log.column}' holds {len(log.counts):,} event types, and {MOST_TYPES} are the most: "
            f"{log.listed()}, ... Set event_type in [interactions] of {mapping.path} to the column of the types."
        )
    log.require(mapping.toml.settings.seen_rule.types, "types of exclude_seen in [settings]")
    if events is None:
        return _assumed(log)
    rules = events.rules
    log.require(rules.targets, "target in [events]")
    named = {*rules.weights, *rules.targets, *rules.negative}
    unnamed = [name for name in log.counts if name not in named and not rules.ignores(name)]
    if unnamed:
        _refuse_unnamed(log, unnamed[:SHOWN])
    if not any(rules.weight(name) for name in log.counts):
        raise DatasetError(f"[events] of {mapping.path} leaves no event to learn from: its types are {log.listed()}.")
    absent = [name for name in dict.fromkeys((*rules.weights, *events.weigh_by_value)) if name not in log.counts]
    return [
        f"[events] of {mapping.path} weighs '{name}', and no row of column '{log.column}' has it. Its types: "
        f"{log.listed()}."
        for name in absent
    ]


def _refuse_unnamed(log: LogTypes, names: Sequence[str]) -> None:
    empty = ", as which empty cells are read,"
    rows = [f"'{name}'{empty if name == UNDECLARED else ''} ({log.rows(name)})" for name in names]
    raise DatasetError(
        f"Column '{log.column}' holds {' and '.join(rows)}, which [events] of {log.path} does not name. Its types: "
        f"{log.listed()}. Add {' and '.join(map(repr, names))} to weights, negative or ignored."
    )


def _assumed(log: LogTypes) -> list[str]:
    """What is assumed of several types without [events]. DatasetError if a type looks negative."""
    names = [name for name in log.counts if name != IMPRESSION]
    if not names:
        raise DatasetError(
            f"Column '{log.column}' holds {log.listed()} alone: items that were shown, and nothing that a user did. "
            "Export views, purchases and other events too."
        )
    for name in names:
        if name.strip().lower().replace(" ", "_").replace("-", "_") in TAKES_BACK:
            raise DatasetError(
                f"Column '{log.column}' holds '{name}' ({log.rows(name)}), which would count as much as any other "
                f'event of its item. State its meaning in {log.path}: add [events] with negative = ["{name}"], '
                f'ignored = ["{name}"] or weights = {{ "{name}" = 1 }}.'
            )
    if len(names) < 2:
        return []
    return [
        f"Every event type counts the same and is a target: {log.listed(names)}. To change this, add [events] to "
        f'{log.path}, such as target = ["purchase"].'
    ]

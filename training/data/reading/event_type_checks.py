"""Check the event types of a log (view, purchase ...) against those that its `dataset.toml` names in [events] and
`exclude_seen`.

A type without a meaning is an error. What is assumed of the types becomes a sentence for the operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from recsys.errors import DatasetError
from recsys.model.event_types import IMPRESSION, UNDECLARED
from training.data.mapping import Mapping

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

ORDERS = (
    *("purchase", "purchased", "order", "ordered", "buy", "bought", "sale", "transaction"),
    *("kauf", "bestellung", "achat", "commande", "compra", "pedido", "acquisto", "ordine"),
)
"""Words in the name of a type that most often is the target of a shop."""


@dataclass(frozen=True)
class LogTypes:
    """The event types of a log. column: as the file names it. types: of each row, by its number in the file."""

    column: str | None
    types: pd.Series

    @cached_property
    def counts(self) -> dict[str, int]:
        """The events of each type, the most frequent first."""
        return {str(name): int(count) for name, count in self.types.value_counts().items() if count}

    def listed(self, names: Iterable[str] | None = None) -> str:
        """The first types with the number of their events."""
        names = self.counts if names is None else names
        return ", ".join(f"'{name}' ({self.counts[name]:,})" for name in list(names)[:SHOWN])

    def rows(self, name: str) -> str:
        """Up to two rows that hold a type, as they are numbered in the file."""
        rows = self.types.index[self.types == name][:2]
        return f"row{'s' if len(rows) > 1 else ''} {' and '.join(f'{row:,}' for row in rows)}"

    def require(self, names: Sequence[str], entry: str, mapping: Mapping) -> None:
        """DatasetError if no event has a type that an entry names."""
        missing = [name for name in names if name not in self.counts]
        if missing:
            there = ", ".join(f"'{name}' ({n:,}) in {self.rows(name)}" for name, n in [*self.counts.items()][:SHOWN])
            raise DatasetError(
                f"{mapping.path}: {entry} names '{missing[0]}', and no row of column '{self.column}' has it. It has "
                f"{there}."
            )


def check_event_types(mapping: Mapping, types: pd.Series) -> list[str]:
    """A sentence for each thing that is assumed or has no effect. DatasetError for a type without a meaning."""
    log, events = LogTypes(mapping.toml.interactions.event_type, types), mapping.toml.events
    if len(log.counts) > MOST_TYPES:
        raise DatasetError(
            f"Column '{log.column}' holds {len(log.counts):,} event types, and {MOST_TYPES} are the most: "
            f"{log.listed()}, ... Set event_type in [interactions] of {mapping.path} to the column of the types."
        )
    log.require(mapping.toml.settings.seen_rule.types, "types of exclude_seen in [settings]", mapping)
    if events is None:
        return _assumed(log, mapping)
    rules = events.rules
    log.require(rules.targets, "target in [events]", mapping)
    named = {*rules.weights, *rules.targets, *rules.negative}
    unnamed = [name for name in log.counts if name not in named and not rules.ignores(name)]
    if unnamed:
        _refuse_unnamed(log, unnamed, mapping)
    if not any(rules.weight(name) for name in log.counts):
        raise DatasetError(f"[events] of {mapping.path} leaves no event to learn from: its types are {log.listed()}.")
    absent = [name for name in dict.fromkeys((*rules.weights, *events.weigh_by_value)) if name not in log.counts]
    return [
        f"[events] of {mapping.path} weighs '{name}', and no row of column '{log.column}' has it. Its types: "
        f"{log.listed()}."
        for name in absent
    ]


def _refuse_unnamed(log: LogTypes, unnamed: Sequence[str], mapping: Mapping) -> None:
    rows = [
        f"'{name}'{', as which empty cells are read,' if name == UNDECLARED else ''} ({log.rows(name)})"
        for name in unnamed[:SHOWN]
    ]
    more = [f"{len(unnamed) - SHOWN:,} more"] if len(unnamed) > SHOWN else []
    names = [f"'{name}'" for name in unnamed[:SHOWN]]
    raise DatasetError(
        f"Column '{log.column}' holds {_listing([*rows, *more])}, which [events] of {mapping.path} does not name. Its "
        f"types: {log.listed()}. Add {_listing([*names, *more])} to weights, negative or ignored."
    )


def _assumed(log: LogTypes, mapping: Mapping) -> list[str]:
    """What is assumed of several types without [events]. DatasetError if a type looks negative."""
    names = [name for name in log.counts if name != IMPRESSION]
    if not names:
        raise DatasetError(
            f"Column '{log.column}' holds {log.listed()} alone: items that were shown, and nothing that a user did. "
            "Export views, purchases and other events too."
        )
    for name in names:
        if _plain(name) in TAKES_BACK:
            raise DatasetError(
                f"Column '{log.column}' holds '{name}' ({log.rows(name)}), which would count as much as any other "
                f'event of its item. State its meaning in {mapping.path}: add [events] with negative = ["{name}"], '
                f'ignored = ["{name}"] or weights = {{ "{name}" = 1 }}.'
            )
    if len(names) < 2:
        return []
    return [
        f"Every event type counts the same and is a target: {log.listed(names)}. To change this, add [events] to "
        f'{mapping.path}, such as target = ["{_likely_target(names)}"].'
    ]


def _likely_target(names: Iterable[str]) -> str:
    """The type whose name looks like an order; "..." if none does."""
    parts = {name: set(_plain(name).split("_")) for name in names}
    likely = (name for word in ORDERS for name in parts if word in parts[name] and not parts[name] & TAKES_BACK)
    return next(likely, "...")


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _listing(parts: Sequence[str]) -> str:
    """Words as a sentence lists them: a, b and c."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)

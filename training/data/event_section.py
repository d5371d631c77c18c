"""The `[events]` section of a `dataset.toml`, and `exclude_seen`: read, checked, and held against the log's types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from recsys.errors import DatasetError
from recsys.model.event_types import IMPRESSION, UNDECLARED, EventRules, SeenRule
from training.data.locations import Location

ENTRIES = {"target", "negative", "ignored", "weights", "weigh_by_value", "unknown"}

MOST_TYPES = 255
"""Event types of a dataset, at most: a row of the types is one byte. More are ids or times in the wrong column."""

LEAST_WEIGHT, MOST_WEIGHT = 0.001, 1e6
"""Of an event type. Sums of many such weights are exact enough in float32."""

LEAST_DAYS, MOST_DAYS = 1 / 1_440, 36_525
"""Of `exclude_seen`: a minute and 100 years."""

UNKNOWN = ("accept", "refuse")
"""What `/events` does with an event of a type that training never saw: store and name it, or refuse it."""

TAKES_BACK = {
    *("refund", "refunded", "return", "returned", "chargeback", "cancel", "canceled", "cancelled", "cancellation"),
    *("dislike", "disliked", "downvote", "thumbs_down", "hide", "block", "report", "unlike", "unfollow", "unsubscribe"),
    *("remove", "removed", "remove_from_cart", "delete"),
    *("storno", "stornierung", "storniert", "retoure", "retour", "remboursement", "annulation"),
    *("devolucion", "devolución", "reembolso", "rimborso", "reso"),
}
"""Names of types that most often take an event back: without `[events]` they would count as a liking."""


ORDERS = (
    *("purchase", "purchased", "order", "ordered", "buy", "bought", "sale", "transaction"),
    *("kauf", "bestellung", "achat", "commande", "compra", "pedido", "acquisto", "ordine"),
)
"""Words in the name of a type that most often is what a shop wants."""


def read_events(path: Location, raw: Mapping[str, Any] | None, has_types: bool) -> tuple[EventRules, tuple[str, ...]]:
    """The rules of the section, and the types whose events weigh by their value; DatasetError names the wrong entry."""
    if raw is None:
        return EventRules(), ()
    if not has_types:
        raise DatasetError(
            f"{path} has a section [events], and [interactions] names no column of event types. Add a line such as "
            'event_type = "event" to [interactions].'
        )
    lists = {entry: _names(path, entry, raw.get(entry, [])) for entry in ENTRIES - {"weights", "unknown"}}
    weights = raw.get("weights", {})
    if not isinstance(weights, dict) or not all(
        _is_weight(weight) and LEAST_WEIGHT <= weight <= MOST_WEIGHT for weight in weights.values()
    ):
        raise DatasetError(
            f"{path}: weights in [events] gives event types numbers above 0, from {LEAST_WEIGHT} to "
            f"{MOST_WEIGHT:,.0f}, such as weights = {{view = 1, purchase = 10}}. A type that counts against an item "
            "belongs in negative, one that means nothing in ignored."
        )
    unknown = raw.get("unknown", UNKNOWN[0])
    if unknown not in UNKNOWN:
        raise DatasetError(f'{path}: unknown in [events] is "accept" or "refuse", not {unknown!r}.')
    named = {**lists, "weights": tuple(weights)}
    for entry in sorted(ENTRIES - {"ignored", "unknown"}):
        _no_impressions(path, f"{entry} in [events]", named[entry])
    _one_meaning(path, named)
    rules = EventRules(
        {name: float(weight) for name, weight in weights.items()},
        lists["target"],
        lists["negative"],
        lists["ignored"],
        unknown == "refuse",
    )
    return rules, lists["weigh_by_value"]


def read_seen(path: Location, raw: object) -> SeenRule:
    """The rule that `exclude_seen` states: true, false, or a table of types and days."""
    if isinstance(raw, bool):
        return SeenRule(raw)
    if not isinstance(raw, dict) or not raw or set(raw) - {"types", "days"}:
        raise DatasetError(
            f"{path}: exclude_seen in [settings] is true, false or a table such as "
            '{types = ["purchase"], days = 30}, without quotes around it.'
        )
    days = raw.get("days")
    if days is not None and not (_is_weight(days) and LEAST_DAYS <= days <= MOST_DAYS):
        raise DatasetError(
            f"{path}: days of exclude_seen in [settings] is a number above 0, from a minute ({LEAST_DAYS:.4f}) to 100 "
            f"years ({MOST_DAYS:,}), not {days!r}."
        )
    types = _names(path, "types of exclude_seen", raw.get("types", []))
    _no_impressions(path, "types of exclude_seen in [settings]", types)
    if "types" in raw and not types and days is None:
        raise DatasetError(
            f"{path}: types of exclude_seen in [settings] is empty. Name event types, such as "
            '{types = ["purchase"]}, or take types out: then events of every type count. false hides nothing.'
        )
    return SeenRule(True, types, days)


def check_types(
    path: Location,
    column: str | None,
    types: pd.Series,
    rules: EventRules | None,
    seen: SeenRule,
    weighed: Sequence[str],
) -> list[str]:
    """Hold the log's event types against the dataset's rules: what was assumed or has no effect, a sentence each.

    rules: None where there is no section [events]. weighed: the types that weigh by their value. DatasetError where a
    type would be read wrong.
    """
    counts = {str(name): int(count) for name, count in types.value_counts().items() if count}
    listed = _counted(counts)
    if len(counts) > MOST_TYPES:
        raise DatasetError(
            f"Column '{column}' holds {len(counts):,} event types, and {MOST_TYPES} are the most: {listed}, ... Set "
            f"event_type in [interactions] of {path} to the column that holds the types."
        )
    if column is None and seen.types:
        raise DatasetError(
            f"{path}: types of exclude_seen in [settings] needs a column of event types. Add a line such as "
            'event_type = "event" to [interactions], or take types out.'
        )
    _all_there(path, column, types, seen.types, counts, "types of exclude_seen in [settings]")
    dropped = next((name for name in seen.types if rules and name in rules.ignored), None)
    if dropped:
        raise DatasetError(
            f"{path}: types of exclude_seen in [settings] names '{dropped}', which [events] ignores: its events are "
            "dropped and hide nothing. Take the type out of one of both."
        )
    if rules is None:
        return _assume(path, column, types, counts, listed)
    _all_there(path, column, types, rules.targets, counts, "target in [events]")
    named = {*rules.weights, *rules.targets, *rules.negative}
    unnamed = [name for name in counts if name not in named and not rules.ignores(name)]
    if unnamed:
        rows = [
            f"'{name}'{', as which empty cells are read,' if name == UNDECLARED else ''} ({_rows(types, name)})"
            for name in unnamed[:12]
        ]
        more = [f"{len(unnamed) - 12:,} more"] if len(unnamed) > 12 else []
        names = [f"'{name}'" for name in unnamed[:12]]
        raise DatasetError(
            f"Column '{column}' holds {_listing([*rows, *more])}, which [events] of {path} does not name. Its types: "
            f"{listed}. Add {_listing([*names, *more])} to weights, negative or "
            "ignored."
        )
    if not any(rules.weight(name) for name in counts):
        raise DatasetError(f"[events] of {path} leaves no event to learn from: its types are {listed}.")
    absent = [name for name in dict.fromkeys((*rules.weights, *weighed)) if name not in counts]
    return [
        f"[events] of {path} weighs '{name}', and no row of column '{column}' has it. Its types: {listed}."
        for name in absent
    ]


def _assume(path: Location, column: str | None, types: pd.Series, counts: Mapping[str, int], listed: str) -> list[str]:
    """What a log of several types means where nothing says so; DatasetError where one of them looks negative."""
    counts = {name: count for name, count in counts.items() if name != IMPRESSION}
    if not counts:
        raise DatasetError(
            f"Column '{column}' holds {listed} alone: items that were shown, and nothing that a user did. Export "
            "views, purchases and other events too."
        )
    listed = _counted(counts)
    for name in counts:
        if _plain(name) in TAKES_BACK:
            raise DatasetError(
                f"Column '{column}' holds '{name}' ({_rows(types, name)}), which would count as much as any other "
                f'event of its item. Say what it means in {path}: add [events] with negative = ["{name}"], '
                f'ignored = ["{name}"] or weights = {{{_key(name)} = 1}}.'
            )
    if len(counts) < 2:
        return []
    return [
        f"Every event type counts the same and is a target: {listed}. To say otherwise, add [events] to {path}, such "
        f'as target = ["{_order(counts)}"].'
    ]


def _counted(counts: Mapping[str, int]) -> str:
    """The first types of a log with the number of their events."""
    return ", ".join(f"'{name}' ({count:,})" for name, count in list(counts.items())[:12])


def _order(names: Iterable[str]) -> str:
    """The type that looks like an order, by its name; "..." where none does."""
    parts = {name: set(_plain(name).split("_")) for name in names}
    likely = (name for word in ORDERS for name in parts if word in parts[name] and not parts[name] & TAKES_BACK)
    return next(likely, "...")


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _listing(parts: Sequence[str]) -> str:
    """Words as a sentence lists them: a, b and c."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def _all_there(
    path: Location, column: str | None, types: pd.Series, names: Sequence[str], counts: Mapping[str, int], entry: str
) -> None:
    """DatasetError where the log has no event of a type that an entry names."""
    missing = [name for name in names if name not in counts]
    if missing:
        listed = ", ".join(f"'{name}' ({count:,}) in {_rows(types, name)}" for name, count in list(counts.items())[:12])
        raise DatasetError(
            f"{path}: {entry} names '{missing[0]}', and no row of column '{column}' has it. The column has {listed}."
        )


def _rows(types: pd.Series, name: str) -> str:
    """Up to two rows that hold a type, as they are numbered in the file."""
    rows = types.index[types == name][:2]
    return f"row{'s' if len(rows) > 1 else ''} {' and '.join(f'{row:,}' for row in rows)}"


def _names(path: Location, entry: str, names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DatasetError(f'{path}: {entry} is a list of event types such as ["purchase"], not {names!r}.')
    return tuple(dict.fromkeys(names))


def _is_weight(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _no_impressions(path: Location, entry: str, names: Sequence[str]) -> None:
    """DatasetError where an entry gives a meaning to impressions, which are no part of a history."""
    if IMPRESSION in names:
        raise DatasetError(
            f"{path}: {entry} names '{IMPRESSION}', which says that an item was shown. Neither training nor serving "
            "takes such events into a history. Take the type out, or rename it in the log if it means something else."
        )


def _one_meaning(path: Location, entries: Mapping[str, Sequence[str]]) -> None:
    """DatasetError where a type is negative or ignored and something else, too."""
    for entry in ("negative", "ignored"):
        for name in entries[entry]:
            other = next((each for each in entries if each != entry and name in entries[each]), None)
            if other:
                raise DatasetError(
                    f"{path}: [events] names '{name}' in both {entry} and {other}; a type has one meaning."
                )


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else f'"{name}"'

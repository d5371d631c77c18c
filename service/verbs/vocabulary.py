"""The vocabulary check of a request: the trained models must know its items, event types, context columns and filters.

An error names the field, and what the generation in force (the trained set of models and tables) knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from recsys.errors import QueryError
from recsys.filters.compiled_conditions import FILTER_WORDS, ConditionError, TokenMatch, match
from recsys.filters.conditions import Stated
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Id
from service import schema
from service.schema.errors import NAME_CHARACTERS

NAMED = 20
"""Event types that an error lists, at most."""

COMPARED = 100
"""Values of a column that are compared with a misspelt value, at most: takes 0.1 to 2 ms."""


def known_row(item_id: Id, generation: ServedGeneration) -> int:
    """The row of an item; QueryError if there is none."""
    row = generation.row_of(item_id)
    if row is None:
        raise QueryError("The live generation does not know this item.", "item_id", code="not_found")
    return row


def check_types(field: str, events: Sequence[schema.Event | schema.SessionEvent], generation: ServedGeneration) -> None:
    """QueryError names the first event of an unknown type in this field, if the dataset refuses such events."""
    spec = generation.spec
    if not spec.events.refuse_unknown:
        return
    for index, event in enumerate(events):
        if spec.is_unknown(event.event_type):
            name, known = repr(event.event_type)[:NAME_CHARACTERS], ", ".join(spec.event_types[:NAMED])
            raise QueryError(
                f"The live generation does not know the event type {name}; it knows {known}.",
                f"{field}.{index}.event_type",
            )


def checked_context(
    context: Mapping[str, str], generation: ServedGeneration, field: str = "context"
) -> Mapping[str, str]:
    """The context. QueryError names a column that the generation does not have; field: where the context is."""
    columns = [column for column, _ in generation.spec.contexts]
    for column in context:
        if column not in columns:
            there = f"it has {', '.join(columns)}" if columns else "it has none"
            raise QueryError(f"The live generation has no context column of this name; {there}.", f"{field}.{column}")
    return context


def checked_filter(conditions: Mapping[str, Stated], generation: ServedGeneration) -> Mapping[str, Stated]:
    """The filter. QueryError names a column or a condition that does not fit, or a text that no item has."""
    words = 0
    for column, condition in conditions.items():
        try:
            wanted = match(column, condition, generation.spec)
        except ConditionError as error:
            raise QueryError(str(error), f"filter.{column}") from error
        if isinstance(wanted, TokenMatch) and isinstance(condition, Sequence):
            _check_texts(column, [*map(str, condition)], generation)
        words += len(wanted.words)
    if words > FILTER_WORDS:
        raise QueryError(
            "The filter names too many values. 100 texts or 50 numbers in all columns together fit.", "filter"
        )
    return conditions


def _check_texts(column: str, texts: Sequence[str], generation: ServedGeneration) -> None:
    """QueryError if no item has one of these texts."""
    for text in texts:
        if not generation.has_value(column, text):
            name, close = repr(text)[:NAME_CHARACTERS], _close(text, generation.spec.values(column))
            raise QueryError(f"No item has the value {name}{close}.", f"filter.{column}")


def _close(text: str, values: Sequence[str]) -> str:
    """The values like a misspelt text, as the end of a sentence; of many values none."""
    if len(values) > COMPARED:
        return ""
    folded = {value.casefold(): value for value in values}
    close = get_close_matches(text[:NAME_CHARACTERS].casefold(), folded, 3)
    return f"; there is {', '.join(folded[each][:NAME_CHARACTERS] for each in close)}" if close else ""

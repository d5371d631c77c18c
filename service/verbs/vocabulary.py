"""Words of a request that a generation has to know: an item, event types, columns of a context and of a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from recsys.conditions import Stated
from recsys.errors import QueryError
from recsys.matching import FILTER_WORDS, ConditionError, TokenMatch, match
from recsys.types import Id
from service import schema
from service.generations.served import ServedGeneration
from service.schema.errors import NAME_CHARACTERS

NAMED = 20
"""Event types that an error lists, at most."""

COMPARED = 100
"""Values of a column among which those like a misspelt one are looked for: 0.1 to 2 ms of the loop."""


def known_row(item_id: Id, generation: ServedGeneration) -> int:
    """The row of an item; QueryError where there is none."""
    row = generation.row_of(item_id)
    if row is None:
        raise QueryError("The live generation does not know this item.", "item_id", code="not_found")
    return row


def unknown_types(events: Sequence[schema.Event | schema.SessionEvent], generation: ServedGeneration) -> list[str]:
    """The types of some events that the generation does not know, each once."""
    return list(dict.fromkeys(told.event_type for told in events if generation.spec.is_unknown(told.event_type)))


def check_types(field: str, events: Sequence[schema.Event | schema.SessionEvent], generation: ServedGeneration) -> None:
    """QueryError names the first event in this field of an unknown type, where the dataset refuses such events."""
    spec = generation.spec
    if spec.events.refuse_unknown:
        for index, told in enumerate(events):
            if spec.is_unknown(told.event_type):
                asked, there = repr(told.event_type)[:NAME_CHARACTERS], ", ".join(spec.event_types[:NAMED])
                raise QueryError(
                    f"The live generation does not know the event type {asked}; it knows {there}.",
                    f"{field}.{index}.event_type",
                )


def checked_context(told: Mapping[str, str], generation: ServedGeneration, field: str = "context") -> Mapping[str, str]:
    """QueryError names a column that the generation does not have; field: where the context stands in the request."""
    if not told:
        return told
    columns = [column for column, _ in generation.spec.contexts]
    for column in told:
        if column not in columns:
            there = f"it has {', '.join(columns)}" if columns else "it has none"
            raise QueryError(f"The live generation has no context column of this name; {there}.", f"{field}.{column}")
    return told


def checked_filter(told: Mapping[str, Stated], generation: ServedGeneration) -> Mapping[str, Stated]:
    """QueryError names a column or a condition that items can't be filtered by, or a text that no item has."""
    words = 0
    for column, condition in told.items():
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
    return told


def _check_texts(column: str, values: Sequence[str], generation: ServedGeneration) -> None:
    """QueryError where no item has one of these values."""
    for value in values:
        if not generation.has_value(column, value):
            asked, close = repr(value)[:NAME_CHARACTERS], _close(value, generation.spec.values(column))
            raise QueryError(f"No item has the value {asked}{close}.", f"filter.{column}")


def _close(value: str, values: Sequence[str]) -> str:
    """The values that may have been meant, as the end of a sentence; of very many none is looked for."""
    folded = {each.casefold(): each for each in values[: COMPARED + 1]}
    if len(values) > COMPARED or not (close := get_close_matches(value[:NAME_CHARACTERS].casefold(), folded, 3)):
        return ""
    return f"; there is {', '.join(folded[each][:NAME_CHARACTERS] for each in close)}"

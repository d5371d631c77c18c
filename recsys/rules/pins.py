"""Apply the business rule `pin`: find which items have a fixed place in the list of recommended items of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recsys.rules.catalogue import Catalogue
from recsys.rules.rules_schema import Pin


def pinned_rows(pins: Sequence[Pin], k: int, catalogue: Catalogue, context: Mapping[str, str]) -> dict[int, int]:
    """Rows by their place, from 1 to k. Of several pins of a place or of an item, the first in this context counts."""
    found: dict[int, int] = {}
    for pin in pins:
        if pin.place > k or pin.place in found:
            continue
        if any(context.get(column) != value for column, value in pin.context.items()):
            continue
        rows = catalogue.rows_of([pin.item])
        if len(rows) and catalogue.allowed(rows)[0] and int(rows[0]) not in found.values():
            found[pin.place] = int(rows[0])
    return found

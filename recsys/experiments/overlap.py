"""What experiments that run at once must not share: users of a layer, and the same change on the same requests.

An experiment has a slot, a range of its layer's positions. Slots of one layer are disjoint, so these experiments have
different users. Experiments of different layers share users, so they must change different things.
"""

from __future__ import annotations

import math

from recsys.experiments.definition import Audience, Definition
from recsys.experiments.document import ExperimentsDocument

_ROUNDING = 1e-9


def free_slot(document: ExperimentsDocument, definition: Definition) -> tuple[float, float] | None:
    """The first free range of the layer's positions that has room for the traffic of an experiment; None if none has.

    A paused experiment keeps its slot. With arms from the caller: the whole layer.
    """
    if definition.assignment == "caller":
        return 0.0, 1.0
    taken = sorted(
        each.slot
        for each in document.experiments.values()
        if each.status in ("running", "paused")
        and each.definition.assignment == "salt"
        and each.definition.layer_or_own == definition.layer_or_own
    )
    start = 0.0
    for first, last in [*taken, (1.0, 1.0)]:
        if first - start >= definition.traffic - _ROUNDING:
            return start, min(1.0, start + definition.traffic)
        start = max(start, last)
    return None


def conflict(one: Definition, other: Definition) -> str | None:
    """Why two experiments can't run at once, as a sentence; None if they can."""
    by_salt = one.assignment == other.assignment == "salt"
    if (by_salt and one.layer_or_own == other.layer_or_own) or not same_requests(one.audience, other.audience):
        return None
    if _start(one) >= _end(other) or _start(other) >= _end(one):
        return None
    if both := sorted(_changes(one) & _changes(other)):
        return f"both change {' and '.join(both)} on the same surfaces. Put them into one layer, or run one at a time."
    return None


def _changes(definition: Definition) -> set[str]:
    return {change for arm in definition.arms.values() for change in arm.changes}


def same_requests(one: Audience, other: Audience) -> bool:
    """Whether some request can take part in both."""
    if one.surfaces and other.surfaces and not {*one.surfaces} & {*other.surfaces}:
        return False
    columns = one.context.keys() & other.context.keys()
    return all({*one.context[column]} & {*other.context[column]} for column in columns)


def _start(definition: Definition) -> float:
    return definition.start.timestamp() if definition.start else -math.inf


def _end(definition: Definition) -> float:
    return definition.end.timestamp() if definition.end else math.inf

"""What experiments that run at once must not share: the same change on the same requests. They share their users."""

from __future__ import annotations

import math

from recsys.experiments.definition import Audience, Definition


def conflict(one: Definition, other: Definition) -> str | None:
    """Why two experiments can't run at once, as a sentence; None if they can."""
    if not same_requests(one.audience, other.audience):
        return None
    if _start(one) >= _end(other) or _start(other) >= _end(one):
        return None
    if both := sorted(_changes(one) & _changes(other)):
        return f"both change {' and '.join(both)} on the same surfaces. Run one at a time."
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

"""What a request may name now, for the Explorer's fields: surfaces, modes, event types, contexts and arms."""

from __future__ import annotations

from recsys.experiments.definition import CONTROL
from recsys.types import Mode
from service.auth.key_check import caller
from service.explorer.explorer_models import Choices, ContextChoice, ExperimentChoice, SurfaceChoice
from service.schema.verb_table import Scope
from service.verbs.recommender import Recommender

SHOWN_VALUES = 50
"""Values of a context column that an answer names."""


def choices(recommender: Recommender) -> Choices:
    """What a request of the caller's key may name now."""
    live, parts = recommender.live, recommender.dependencies
    surfaces = [parts.surfaces.of(name) for name in parts.surfaces.names]
    document = parts.switcher.follower.experiments.current.document
    running = [each for each in document.experiments.values() if each.status == "running"] if document else []
    key = caller.get(None)
    return Choices(
        generation=live.id,
        surfaces=[SurfaceChoice(name=each.name, k=each.k, mode=each.mode.value) for each in surfaces],
        modes=[mode.value for mode in Mode],
        event_types=list(live.spec.event_types),
        contexts=[
            ContextChoice(column=column, values=list(values[:SHOWN_VALUES])) for column, values in live.spec.contexts
        ],
        experiments=[ExperimentChoice(name=each.name, arms=[CONTROL, *each.definition.arms]) for each in running],
        scopes=[*(key.scopes if key else Scope)],
        users=(key.users or "") if key else "",
    )

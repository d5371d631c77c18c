"""A canary: an experiment with one arm, the generation that shall go live, which takes its ramps by itself.

Each step begins a stated time after the last change. A canary whose arm is halted stops, so that all users have the
generation that is live. After the last step the generation goes live, and the experiment stops.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from recsys.errors import ExperimentError
from recsys.experiments.changes import CANARY, create, found, ramp, start
from recsys.experiments.definition import checked
from recsys.experiments.document import Canary, Experiment, ExperimentsDocument

ARM = "new"
"""The arm of a canary."""


def start_canary(
    document: ExperimentsDocument, generation: str, live: str, steps: Sequence[float], every: float, now: float
) -> tuple[ExperimentsDocument, str]:
    """Add and start a canary of a generation beside the live one, without users; return its name too.

    steps: parts of the users, rising to 1. every: seconds of a step. ExperimentError if another experiment compares
    generations.
    """
    base = f"canary-{re.sub(r'[^a-z0-9_-]', '-', generation.lower())}"[:30]
    free = [each for each in (base, *(f"{base}-{n}" for n in range(2, 10))) if each not in document.experiments]
    if not free:
        raise ExperimentError(f"{generation} had nine canaries. Give it to a part of the users by an experiment.")
    name = free[0]
    definition = checked({"name": name, "arms": {ARM: {"share": 1.0, "generation": generation}}}, "canary")
    document = start(create(document, definition, now, CANARY), name, now, CANARY)
    plan = Canary(steps=tuple(steps), every=every, live=live)
    planned = document.experiments[name].model_copy(update={"canary": plan})
    return document.model_copy(update={"experiments": {**document.experiments, name: planned}}), name


def next_step(experiment: Experiment, now: float) -> float | None:
    """The part to which a canary ramps now; None if it waits, is complete or does not run."""
    plan = experiment.canary
    if plan is None or not _is_due(experiment, now):
        return None
    return next((step for step in plan.steps if step > experiment.ramp), None)


def is_complete(experiment: Experiment, now: float) -> bool:
    """Whether a canary has taken all steps, so that its generation goes live now."""
    return experiment.canary is not None and experiment.ramp == 1.0 and _is_due(experiment, now)


def advance_canary(document: ExperimentsDocument, name: str, now: float) -> ExperimentsDocument:
    """Take the step that is due; the same document if none is."""
    step = next_step(found(document, name), now)
    return document if step is None else ramp(document, name, step, now, CANARY)


def _is_due(experiment: Experiment, now: float) -> bool:
    """Whether a canary runs, and its step has lasted. The first step begins at once."""
    plan = experiment.canary
    if plan is None or experiment.status != "running" or not experiment.arms_in_force():
        return False
    return experiment.ramp == 0 or now - experiment.changes[-1].at >= plan.every

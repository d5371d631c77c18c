"""Start the canary of a generation, for `python -m flows promote ID --canary 5,25,100 --every 30min`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from recsys.errors import NOTHING_LIVE, ExperimentError, NoGeneration
from recsys.experiments.canary import start_canary
from recsys.experiments.changes import percent
from recsys.experiments.document import Experiment, ExperimentsDocument
from recsys.store.from_environment import OpenStore
from recsys.store.stored_types import LIVE
from recsys.surfaces import seconds_of, shown_duration

LEAST_SECONDS, STEP_SECONDS = 60.0, 1_800.0
"""Of a step, at least and by default. The monitor looks each minute."""


def steps_of(text: str) -> tuple[float, ...]:
    """The parts of "5,25,100": rising percents of which the last is 100."""
    try:
        steps = tuple(float(step.strip().removesuffix("%")) / 100 for step in text.split(","))
    except ValueError:
        steps = ()
    rising = all(0 < one < other for one, other in zip((1e-9, *steps), steps, strict=False))
    if not steps or not rising or steps[-1] != 1:
        raise argparse.ArgumentTypeError(f"{text} is not a list of rising percents up to 100, such as 5,25,100")
    return steps


def duration(text: str) -> float:
    """The seconds of a duration such as 30min, 30m or 2h."""
    seconds = seconds_of(f"{text}in" if text.endswith("m") else text)
    if isinstance(seconds, float) and seconds >= LEAST_SECONDS:
        return seconds
    raise argparse.ArgumentTypeError(f"{text} is not a duration of a minute or more, such as 30min or 2h")


def begin(generation: str, steps: Sequence[float], every: float, store: OpenStore) -> Experiment:
    """Start a canary without users, and return its experiment."""
    live = store.generations().alias(LIVE)
    if live is None:
        raise NoGeneration(NOTHING_LIVE)
    if live == generation:
        raise ExperimentError(f"Generation {generation} is live already.")
    name = ""

    def change(document: ExperimentsDocument) -> ExperimentsDocument:
        nonlocal name
        changed, name = start_canary(document, generation, live, steps, every, time.time())
        return changed

    return store.experiments().change(change).experiments[name]


def describe(experiment: Experiment) -> str:
    """A sentence about a canary that has begun."""
    plan = experiment.canary
    if plan is None:
        raise ValueError(f"{experiment.name} is not a canary")
    steps = ", ".join(map(percent, plan.steps))
    return (
        f"Canary: {experiment.name} takes the steps {steps}, {shown_duration(plan.every)} each, by the flow canary, "
        "which python -m flows schedule runs. A breach of a guardrail ends it. To end it now: "
        f"python -m flows experiment stop {experiment.name}"
    )

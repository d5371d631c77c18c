"""The Prefect flow `canary`: it takes the due steps of canaries, ends those that were halted, and promotes the others.

A canary is an experiment that gives a new generation to more and more users (`python -m flows promote ID --canary`). It
takes no step while the flow `monitor` does not look at the guardrails.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from prefect import get_run_logger

from flows import MONITOR_SECONDS
from flows.orchestration import write_result
from flows.progress import run_progress
from flows.ramp import move_users
from flows.run_records import recorded_flow
from recsys.environment import Environment
from recsys.errors import ExperimentError, GenerationError
from recsys.experiments.canary import ARM, advance_canary, is_complete, next_step
from recsys.experiments.changes import CANARY, percent, stop, unless_changed
from recsys.experiments.document import Canary, Experiment
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.stored_types import LIVE
from training.experiments.guardrails import LOOKS
from training.progress import RunProgress

LOOK_SECONDS = 5 * MONITOR_SECONDS
"""The age of the last look at the guardrails up to which a canary takes a step."""


@dataclass(frozen=True)
class CanaryResult:
    """The result of a run. canaries: a sentence on each running canary, by the experiment's name."""

    canaries: dict[str, str] = field(default_factory=dict)


@recorded_flow("canary", timeout_seconds=2 * 3_600)
def canary() -> CanaryResult:
    """Take the due steps of all canaries."""
    environment, done = Environment.read(), {}
    with open_store(environment) as store, run_progress() as progress:
        document = store.experiments().read()
        halts = store.experiments().halts(document)
        for experiment in document.experiments.values():
            if experiment.canary and experiment.status == "running":
                if reason := experiment.halted.get(ARM) or halts.get(
                    (experiment.name, ARM)
                ):  # a gateway's is not final
                    done[experiment.name] = _end(experiment, store, f"Rolled back: {reason}")
                else:
                    done[experiment.name] = _advance(experiment, experiment.canary, store, environment, progress)
    for name, sentence in done.items():
        get_run_logger().info("%s: %s", name, sentence)
    result = CanaryResult(done)
    write_result(result)
    return result


def _advance(
    experiment: Experiment, plan: Canary, store: OpenStore, environment: Environment, progress: RunProgress
) -> str:
    """Take the step of a canary that is due; a sentence on what was done."""
    now, live, name = time.time(), store.generations().alias(LIVE), experiment.name
    if live != plan.live:
        return _end(experiment, store, f"Ended: {live} went live meanwhile, in place of {plan.live}.")
    if not (step := next_step(experiment, now)) and not is_complete(experiment, now):
        return f"It is at {percent(experiment.ramp)}, and no step is due."
    if not _is_watched(store.experiments(), now):
        return "It waits: nothing looked at the guardrails lately. Run python -m flows monitor."
    if step is None:
        return _promote(experiment, plan, store)
    change = unless_changed(name, lambda document: advance_canary(document, name, now))
    try:
        _, lists = move_users(change, store, environment, progress)
    except ExperimentError as error:  # gateways still load the generation, or the experiment was changed meanwhile
        return f"It waits: {error}"
    return f"Ramp from {percent(experiment.ramp)} to {percent(step)}; {lists:,} lists were made before."


def _promote(experiment: Experiment, plan: Canary, store: OpenStore) -> str:
    """Make the generation of a canary live, which all users have already, and end the canary."""
    generation = str(experiment.definition.arms[ARM].generation)
    try:
        store.generations().promote(generation, expected=plan.live)
    except GenerationError as error:
        return _end(experiment, store, f"Ended: {error}")
    return _end(experiment, store, f"{generation} is live.")


def _end(experiment: Experiment, store: OpenStore, sentence: str) -> str:
    store.experiments().change(lambda document: stop(document, experiment.name, time.time(), CANARY, sentence))
    return sentence


def _is_watched(experiments: RedisExperimentStore, now: float) -> bool:
    """Whether the monitor has read a gateway lately."""
    looks = LOOKS.validate_json(experiments.looks() or b"[]")
    return bool(looks) and now - looks[-1].at <= LOOK_SECONDS and bool(looks[-1].counts)

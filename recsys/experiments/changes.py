"""Changes of the experiments: create, start, ramp, pause, stop and halt, as functions from document to document.

Each returns a new document with a line in the history of the experiment. ExperimentError says why a change is refused.
A stopped experiment and a halted arm do not come back, so that their figures stay those of one assignment.
"""

from __future__ import annotations

from recsys.errors import ExperimentError
from recsys.experiments import former_layers
from recsys.experiments.definition import Definition
from recsys.experiments.document import (
    MOST_KEPT,
    MOST_RUNNING,
    MOST_RUNNING_GENERATIONS,
    Change,
    DocumentChange,
    Experiment,
    ExperimentsDocument,
)
from recsys.experiments.overlap import conflict

COMMAND, MONITOR, CANARY = "command", "monitor", "canary"
"""What makes a change."""


def create(document: ExperimentsDocument, definition: Definition, now: float, by: str = COMMAND) -> ExperimentsDocument:
    """Add an experiment without users, or replace one that has not started. now: unix seconds.

    The oldest stopped experiment makes room for it.
    """
    before = document.experiments.get(definition.name)
    if before is not None and before.status != "draft":
        raise ExperimentError(f"There was an experiment {definition.name} already. Give this one another name.")
    kept = dict(document.experiments)
    if before is None and len(kept) >= MOST_KEPT:
        stopped = [name for name, each in kept.items() if each.status == "stopped"]
        if not stopped:
            raise ExperimentError(f"{MOST_KEPT} experiments are kept at most. Stop one of them first.")
        kept.pop(stopped[0])
    kept[definition.name] = Experiment(definition=definition, changes=(Change(at=now, what="Created.", by=by),))
    return document.model_copy(update={"experiments": kept})


def start(document: ExperimentsDocument, name: str, now: float, by: str = COMMAND) -> ExperimentsDocument:
    """Run an experiment: from a ramp of 0 on, or after a pause from the ramp before it."""
    experiment = found(document, name)
    if experiment.status in ("running", "stopped"):
        again = "is running already" if experiment.status == "running" else "has stopped for good; create another one"
        raise ExperimentError(f"Experiment {name} {again}.")
    running = [each for each in document.experiments.values() if each.status == "running"]
    if len(running) >= MOST_RUNNING:
        raise ExperimentError(f"{MOST_RUNNING} experiments run at once at most. Pause or stop one of them first.")
    started = [each for each in document.experiments.values() if each.status in ("running", "paused")]
    generations = {arm.generation for each in (*started, experiment) for arm in each.definition.arms.values()} - {None}
    if len(generations) > MOST_RUNNING_GENERATIONS:
        raise ExperimentError(
            f"Arms of experiments that run or are paused have at most {MOST_RUNNING_GENERATIONS} generations, which "
            "each process holds in memory. Stop an experiment first."
        )
    if experiment.status == "draft":
        for field in former_layers.stated_fields(experiment.definition.model_dump()):
            raise ExperimentError(f"Experiment {name} can't start: {former_layers.refusal(field)} Create it again.")
    for other in running:
        if former_layers.have_different_users(experiment, other):
            continue
        if reason := conflict(experiment.definition, other.definition):
            raise ExperimentError(f"{name} can't run beside {other.name}: {reason}")
    sentence = "Started." if experiment.status == "draft" else f"Started again at {percent(experiment.ramp)}."
    return _changed(document, experiment, now, sentence, by, status="running")


def ramp(document: ExperimentsDocument, name: str, part: float, now: float, by: str = COMMAND) -> ExperimentsDocument:
    """Set the part of each arm's share that is in force, 0 to 1. Users move between the control and their arm alone."""
    experiment = found(document, name)
    if not 0 <= part <= 1:
        raise ExperimentError("A ramp is 0 to 100 %.")
    if experiment.status != "running":
        fix = "has stopped for good" if experiment.status == "stopped" else f"does not run; start it: {_start(name)}"
        raise ExperimentError(f"Experiment {name} {fix}.")
    if experiment.definition.assignment == "caller":
        raise ExperimentError(f"Callers name the arms of {name} in their requests, so it has no ramp.")
    if not experiment.arms_in_force():
        raise ExperimentError(f"All arms of {name} are halted. Stop it, and create another one without the fault.")
    if part == experiment.ramp:
        return document
    sentence = f"Ramp from {percent(experiment.ramp)} to {percent(part)}."
    return _changed(document, experiment, now, sentence, by, ramp=part)


def pause(document: ExperimentsDocument, name: str, now: float, by: str = COMMAND) -> ExperimentsDocument:
    """Give all users the control; `start` goes on with the same ramp and the same users."""
    experiment = found(document, name)
    if experiment.status != "running":
        raise ExperimentError(f"Experiment {name} does not run: it is {_state(experiment)}.")
    return _changed(document, experiment, now, "Paused.", by, status="paused")


def stop(
    document: ExperimentsDocument, name: str, now: float, by: str = COMMAND, what: str = "Stopped."
) -> ExperimentsDocument:
    """End an experiment for good. what: a sentence for the history."""
    experiment = found(document, name)
    if experiment.status == "stopped":
        raise ExperimentError(f"Experiment {name} has stopped already.")
    return _changed(document, experiment, now, what, by, status="stopped")


def stop_ended(document: ExperimentsDocument, now: float) -> ExperimentsDocument:
    """Stop the experiments whose end has passed, so that others get their users and their generations can go."""
    for experiment in document.experiments.values():
        end = experiment.definition.end
        if end and now >= end.timestamp() and experiment.status in ("running", "paused"):
            document = _changed(document, experiment, now, "Stopped at its end.", MONITOR, status="stopped")
    return document


def halt(
    document: ExperimentsDocument, name: str, arm: str, reason: str, now: float, by: str = MONITOR
) -> ExperimentsDocument:
    """Set an arm's share to 0 for good, with a reason. An arm that is halted keeps its first reason."""
    experiment = found(document, name)
    if arm not in experiment.definition.arms:
        raise ExperimentError(f"Experiment {name} has no arm {arm}. Its arms: {', '.join(experiment.definition.arms)}.")
    if arm in experiment.halted:
        return document
    halted = {**experiment.halted, arm: reason}
    return _changed(document, experiment, now, f"Arm {arm} halted: {reason}", by, halted=halted)


def unless_changed(name: str, change: DocumentChange) -> DocumentChange:
    """The change, refused if another command changes the same experiment between its first call and a later one.

    The store calls a change again after a lost race. A person decided by the experiment as it was before.
    """
    first: list[Experiment | None] = []

    def checked(document: ExperimentsDocument) -> ExperimentsDocument:
        experiment = document.experiments.get(name)
        first.append(experiment)
        if experiment != first[0]:
            other = experiment.changes[-1].what.rstrip(".") if experiment else "Removed"
            raise ExperimentError(
                f"Experiment {name} was changed at the same time: {other}. Run this again if you still want it."
            )
        return change(document)

    return checked


def found(document: ExperimentsDocument, name: str) -> Experiment:
    """The experiment of a name; ExperimentError names the known ones."""
    if name not in document.experiments:
        if not document.experiments:
            raise ExperimentError("There are no experiments yet; python -m flows experiment create FILE adds one.")
        raise ExperimentError(f"There is no experiment {name}. There are: {', '.join(document.experiments)}.")
    return document.experiments[name]


def percent(part: float) -> str:
    """A part in percent."""
    return f"{100 * part:.4g} %"


def _changed(
    document: ExperimentsDocument, experiment: Experiment, now: float, what: str, by: str, **fields: object
) -> ExperimentsDocument:
    changed = experiment.model_copy(update=fields)
    changes = (*experiment.changes, Change(at=now, what=what, by=by, shares=changed.shares))
    changed = changed.model_copy(update={"changes": changes})
    return document.model_copy(update={"experiments": {**document.experiments, experiment.name: changed}})


def _state(experiment: Experiment) -> str:
    return {"draft": "not started", "paused": "paused already"}.get(experiment.status, experiment.status)


def _start(name: str) -> str:
    return f"python -m flows experiment start {name}"

"""The experiments of a deployment as one document: definitions, states, ramps and the history of changes.

The store holds the document as JSON with a version. A change is a function of the old document. It checks what must
hold between experiments: no two of them change the same thing for the same requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from recsys.experiments import former_layers
from recsys.experiments.assignment import Lanes
from recsys.experiments.definition import Arm, Definition

Status = Literal["draft", "running", "paused", "stopped"]
"""draft: created, without users. running: arms have users. paused: every user gets the control, and the ramp is kept.
stopped: ended for good."""

MOST_KEPT, MOST_RUNNING = 100, 8
"""Experiments of the document, and those that run at once. Their names are labels of metrics."""

MOST_RUNNING_GENERATIONS = 4
"""Generations that arms of running and paused experiments have besides `live`: each process holds them in memory."""


class Change(BaseModel):
    """A change of an experiment. at: unix seconds. what: a sentence. by: a command, the monitor or a canary.

    shares: of the users, by arm, from this change on; empty while no arm has users.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    what: str
    by: str = "command"
    shares: Mapping[str, float] = Field(default_factory=dict)


class Canary(BaseModel):
    """The plan of an experiment that ramps by itself, until its generation goes live.

    steps: the ramps, rising to 1. every: seconds of a step. live: the generation that was live at the start.
    """

    model_config = ConfigDict(frozen=True)

    steps: tuple[float, ...]
    every: float
    live: str


class Experiment(BaseModel):
    """An experiment with its state.

    ramp: the part of each arm's share that is in force, 0 to 1. halted: the arms whose share is 0, with the reason.
    changes: oldest first. canary: of an experiment that ramps by itself. slot: of the release before (`former_layers`).
    """

    model_config = ConfigDict(frozen=True)

    definition: Definition
    status: Status = "draft"
    ramp: float = Field(0.0, ge=0, le=1)
    slot: tuple[float, float] = former_layers.WHOLE
    halted: Mapping[str, str] = Field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    canary: Canary | None = None

    @property
    def name(self) -> str:
        """The name."""
        return self.definition.name

    def runs_at(self, now: float, ahead: float = 0.0) -> bool:
        """Whether arms have users at a time, unix seconds, or will have users at most `ahead` seconds later."""
        start = self.definition.start
        return self.status == "running" and not (start and now + ahead < start.timestamp()) and not self.has_ended(now)

    def has_ended(self, now: float) -> bool:
        """Whether the stated end has passed at a time, unix seconds."""
        end = self.definition.end
        return end is not None and now >= end.timestamp()

    def arms_in_force(self) -> dict[str, Arm]:
        """The arms that are not halted."""
        return {name: arm for name, arm in self.definition.arms.items() if name not in self.halted}

    @property
    def shares(self) -> dict[str, float]:
        """The share of the audience that each arm has now, without the arms that have no users."""
        if self.definition.assignment == "caller":  # the ramp does not apply
            return {name: arm.share for name, arm in self.arms_in_force().items() if self.status == "running"}
        lanes = self.lanes
        parts = zip(lanes.arms, lanes.starts, lanes.stops, strict=True)
        return {name: stop - start for name, start, stop in parts if stop > start}

    def takes_part(self, surface: str) -> bool:
        """Whether requests of a surface can take part."""
        return not self.definition.audience.surfaces or surface in self.definition.audience.surfaces

    @property
    def lanes(self) -> Lanes:
        """How the experiment divides users while it runs."""
        arms, ramp = self.definition.arms, self.ramp if self.status == "running" else 0.0
        starts, stops, start = [], [], 0.0
        for name, arm in arms.items():
            starts.append(start)
            stops.append(start + (0.0 if name in self.halted else arm.share * ramp))
            start += arm.share
        former = former_layers.part_of(self)
        return Lanes(self.definition.salt_or_name, tuple(arms), tuple(starts), tuple(stops), former)


class ExperimentsDocument(BaseModel):
    """All experiments, by name. version: rises by one with each change; 0 before the first."""

    model_config = ConfigDict(frozen=True)

    version: int = 0
    experiments: Mapping[str, Experiment] = Field(default_factory=dict)

    def running(self, now: float) -> list[Experiment]:
        """The experiments whose arms have users at a time, unix seconds."""
        return [each for each in self.experiments.values() if each.runs_at(now)]

    @property
    def generations(self) -> set[str]:
        """The generations that arms of experiments need which are not stopped: the store does not delete these."""
        return {
            arm.generation
            for each in self.experiments.values()
            if each.status != "stopped"
            for arm in each.definition.arms.values()
            if arm.generation
        }


DocumentChange = Callable[[ExperimentsDocument], ExperimentsDocument]
"""A change of the experiments; ExperimentError with a sentence if the document does not allow the change."""

"""The experiments that run, prepared once for all requests: which arms a request gets.

The choice is a pure function of the document, the halts of gateways, and the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recsys.errors import QueryError
from recsys.experiments.assigned_arms import NO_ARMS, AssignedArms
from recsys.experiments.assignment import Lanes
from recsys.experiments.definition import CONTROL, Arm
from recsys.experiments.document import MOST_RUNNING_GENERATIONS, Experiment, ExperimentsDocument
from recsys.types import Id

Halts = Mapping[tuple[str, str], str]
"""The arms, by experiment and arm, that a gateway stopped, with the reason."""

SHOWN, NAMED = 40, 20
"""Characters of a wrong name in an error, and known names in it, at most."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A running or paused experiment, with the arms as halts leave them.

    lanes: as the document has them. A gateway's halt moves no user to another arm: reports compare users by their arm.
    """

    experiment: Experiment
    lanes: Lanes

    @classmethod
    def of(cls, experiment: Experiment, halts: Halts) -> _Running:
        halted = {arm: reason for (name, arm), reason in halts.items() if name == experiment.name}
        stopped = experiment.model_copy(update={"halted": {**experiment.halted, **halted}})
        return cls(stopped, experiment.lanes)

    def arm_of(self, user: Id, surface: str, context: Mapping[str, str], named: Mapping[str, str]) -> str | None:
        """The user's arm, CONTROL, or None if the request does not take part. named: the arms that the caller names."""
        required = self.experiment.definition.audience.context
        if not self.experiment.takes_part(surface):
            return None
        if any(context.get(column) not in values for column, values in required.items()):
            return None
        if self.experiment.definition.assignment == "caller":
            arm = named.get(self.experiment.name)
            return arm if arm == CONTROL or arm in self.experiment.definition.arms else None
        return self.lanes.arm_of(user)


class RunningExperiments:
    """The experiments of one document."""

    def __init__(self, document: ExperimentsDocument | None = None, halts: Halts | None = None) -> None:
        """document: None before the first read, when every request gets the control."""
        self.document = document
        self._started = [
            _Running.of(each, halts or {})
            for each in (document.experiments.values() if document else ())
            if each.status in ("running", "paused")
        ]
        self._running = [each for each in self._started if each.experiment.status == "running"]

    def assign(
        self, user: Id | None, surface: str, context: Mapping[str, str], now: float, named: Mapping[str, str]
    ) -> AssignedArms:
        """The arms of a request at a time, unix seconds. named: the arms that the caller names.

        A visitor without an id takes part in no experiment.
        """
        if user is None or not self._running:
            return NO_ARMS
        arms: dict[str, str] = {}
        served: dict[str, Arm] = {}
        halted: set[str] = set()
        for each in self._running:
            if each.experiment.runs_at(now) and (arm := each.arm_of(user, surface, context, named)):
                name = each.experiment.name
                arms[name] = arm
                if arm in each.experiment.halted:  # by a gateway, or a caller still names the arm
                    halted.add(name)
                elif arm != CONTROL:
                    served[name] = each.experiment.definition.arms[arm]
        assigned = AssignedArms(arms, served)
        return assigned.without(halted) if halted else assigned

    def check_named(self, named: Mapping[str, str]) -> None:
        """QueryError if a caller names an unknown arm, or an arm of an experiment that assigns users by its salt.

        An experiment that does not run is known: callers may name its arms longer than the experiment runs.
        """
        if self.document is None:
            return
        for name, arm in named.items():
            field = f"arms.{name[:SHOWN]}"
            experiment = self._known(name, field)
            if experiment.definition.assignment != "caller":
                raise QueryError(
                    f"The experiment {name} assigns users by its salt. Leave this field out, or create the "
                    'experiment with assignment = "caller".',
                    field,
                )
            _check_arm(experiment, arm, field)

    def force(self, name: str, arm: str, field: str) -> AssignedArms:
        """The arm that a person chose for a test, and no other one; QueryError if it is unknown or does not run."""
        experiment = self._known(name, field)
        _check_arm(experiment, arm, field)
        if experiment.status != "running":
            raise QueryError(
                f"The experiment {name} is {experiment.status}, and the arms of running experiments alone are "
                "loaded. Start the experiment; without a ramp no user gets an arm.",
                field,
            )
        served = {} if arm == CONTROL else {name: experiment.definition.arms[arm]}
        return AssignedArms({name: arm}, served, forced=True)

    def generations(self, now: float) -> tuple[str, ...]:
        """The generations to hold for arms: of experiments that run, or will, without the halted arms.

        Those of a paused experiment are held too: its users have their arms again at the next start.
        """
        found = dict.fromkeys(
            arm.generation
            for each in self._started
            for arm in each.experiment.arms_in_force().values()
            if arm.generation and not each.experiment.has_ended(now)
        )
        return tuple(found)[:MOST_RUNNING_GENERATIONS]

    def arms_of(self, generation: str) -> list[tuple[str, str]]:
        """The arms in force, by experiment and arm, that a generation answers."""
        return [
            (each.experiment.name, name)
            for each in self._running
            for name, arm in each.experiment.arms_in_force().items()
            if arm.generation == generation
        ]

    def _known(self, name: str, field: str) -> Experiment:
        known = self.document.experiments if self.document else {}
        if name not in known:
            there = f"there is {', '.join([*known][:NAMED])}" if known else "there is none"
            raise QueryError(f"There is no experiment {name[:SHOWN]!r}; {there}.", field)
        return known[name]


def _check_arm(experiment: Experiment, arm: str, field: str) -> None:
    arms = (CONTROL, *experiment.definition.arms)
    if arm not in arms:
        raise QueryError(
            f"The experiment {experiment.name} has no arm {arm[:SHOWN]!r}; it has {', '.join(arms)}.", field
        )

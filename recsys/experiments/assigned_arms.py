"""The arms of one request: the user's arm in each experiment, and what these arms change in the slate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from recsys.experiments.definition import Arm, Explore
from recsys.rules.rules_schema import Rules


@dataclass(frozen=True, slots=True)
class AssignedArms:
    """The arms of a request.

    arms: the user's arm in each experiment, "control" included. served: what the arms change in the slate, by
    experiment, without the control. away: the experiments whose arm can't be served, so that the slate is the
    control's. forced: whether a person chose the arm for a test: no report counts the slate.
    """

    arms: Mapping[str, str] = field(default_factory=dict)
    served: Mapping[str, Arm] = field(default_factory=dict)
    away: tuple[str, ...] = ()
    forced: bool = False

    @property
    def assignment(self) -> Mapping[str, str]:
        """The user's arms, for impressions: reports compare users by these, whether or not the arms could be served."""
        return {} if self.forced else self.arms

    @property
    def exposures(self) -> Mapping[str, str]:
        """The arms that the slate is made by, for impressions."""
        return {} if self.forced else {name: arm for name, arm in self.arms.items() if name not in self.away}

    @property
    def generation(self) -> str | None:
        """The id of the generation to answer from; None: the live one."""
        return next((arm.generation for arm in self.served.values() if arm.generation), None)

    @property
    def alias(self) -> str:
        """Whose generation answers: `live`, or `experiment/arm`; a label of metrics."""
        return next((f"{name}/{self.arms[name]}" for name, arm in self.served.items() if arm.generation), "live")

    @property
    def rules(self) -> Rules | None:
        """The rules in place of the surface's; None: the surface's."""
        return next((arm.rules for arm in self.served.values() if arm.rules is not None), None)

    @property
    def mode(self) -> str | None:
        """The mode of a request that names none; None: the surface's."""
        return next((arm.mode for arm in self.served.values() if arm.mode), None)

    @property
    def candidates(self) -> int | None:
        """The most candidates that are ranked; None: all."""
        return next((arm.candidates for arm in self.served.values() if arm.candidates), None)

    @property
    def explore(self) -> tuple[str, Explore] | None:
        """The experiment of which an arm explores, and how; None: no place is drawn at random."""
        return next(((name, arm.explore) for name, arm in self.served.items() if arm.explore is not None), None)

    @property
    def list_variant(self) -> str:
        """The part of the key of the user's list that names the arms with other rules or candidates; "" without."""
        changed = (name for name, arm in self.served.items() if arm.rules is not None or arm.candidates)
        return "+".join(sorted(f"{name}.{self.arms[name]}" for name in changed))

    def without_generation(self) -> AssignedArms:
        """The same with the control in place of arms that have a generation, which can't be served."""
        return self.without({name for name, arm in self.served.items() if arm.generation})

    def without(self, away: set[str]) -> AssignedArms:
        """The same with the control in place of the arms of some experiments, which can't be served."""
        kept = {name: arm for name, arm in self.served.items() if name not in away}
        return replace(self, served=kept, away=(*self.away, *(name for name in self.arms if name in away)))


NO_ARMS = AssignedArms()
"""Of a request that takes part in no experiment."""

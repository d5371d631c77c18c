"""Layers and holdouts of experiments that the release before started: each user keeps the arm until a stop.

Experiments have had no layers, no `traffic` and no holdouts since 2026-12-04: each has all users. The stored fields
stay readable, and a new experiment that states one is refused. One release later delete this module, its uses, the
fields `layer`, `traffic`, `holdout` and `slot`, and what `tests/released/store` has of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys.experiments.positions import position, positions
from recsys.types import Bool, Id

if TYPE_CHECKING:
    from recsys.experiments.document import Experiment

HOLDOUT_SALT = "tandem holdout"
"""The salt of the holdout, the same for all experiments: one user was in all holdouts of the same share, or in none."""

LAYER_SALT = "tandem layer "
"""The beginning of a layer's salt, so that no experiment has the salt of its layer."""

WHOLE = (0.0, 1.0)
"""The slot of an experiment with all users."""


@dataclass(frozen=True, slots=True)
class FormerPart:
    """The users who take part. slot: from which to which of the layer's positions. holdout: the share left out."""

    layer: str
    slot: tuple[float, float]
    holdout: float

    def has(self, user: Id) -> bool:
        """Whether a user takes part."""
        first, last = self.slot
        if not first <= position(LAYER_SALT + self.layer, user) < last:
            return False
        return not self.holdout or position(HOLDOUT_SALT, user) >= self.holdout

    def of(self, users: Sequence[Id]) -> Bool:
        """Which users take part, [n]."""
        in_layer, (first, last) = positions(LAYER_SALT + self.layer, users), self.slot
        taking: Bool = (first <= in_layer) & (in_layer < last)
        return taking & (positions(HOLDOUT_SALT, users) >= self.holdout) if self.holdout else taking

    @property
    def share(self) -> float:
        """The share of all users who take part."""
        return (self.slot[1] - self.slot[0]) * (1 - self.holdout)


def part_of(experiment: Experiment) -> FormerPart | None:
    """The users of an experiment that the release before started; None for all users."""
    definition = experiment.definition
    if experiment.slot == WHOLE and not definition.audience.holdout:
        return None
    return FormerPart(definition.layer or definition.name, experiment.slot, definition.audience.holdout)


def have_different_users(one: Experiment, other: Experiment) -> bool:
    """Whether two experiments of a former layer have different users, so that both may change the same thing."""
    first, second = part_of(one), part_of(other)
    if not first or not second or first.layer != second.layer:
        return False
    return first.slot[1] <= second.slot[0] or second.slot[1] <= first.slot[0]


def stated_fields(fields: Any) -> Iterator[str]:
    """The names of the fields of a definition that ask for a layer, a part of it, or a holdout."""
    if isinstance(fields, dict):
        unused = {"layer": None, "traffic": 1.0}
        yield from (name for name, default in unused.items() if fields.get(name, default) != default)
        audience = fields.get("audience")
        if isinstance(audience, dict) and audience.get("holdout"):
            yield "audience.holdout"


def refusal(field: str) -> str:
    """What to do in place of a field, as a sentence."""
    return (
        f"there is no {field} any more: every experiment has all users of its audience. Leave {field} out, give the "
        "arms smaller shares for fewer users, and run experiments that change the same thing one after the other."
    )

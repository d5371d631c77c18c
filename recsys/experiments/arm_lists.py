"""Which precomputed lists the arms of experiments need, beside the control's lists, which all users have.

An arm needs lists of its own if it changes the generation, the rules or the number of candidates. `batch` and
`refresh` make them for the users of the arm, and a request in the arm reads them alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from recsys.experiments.assigned_arms import AssignedArms
from recsys.experiments.document import Experiment, ExperimentsDocument
from recsys.experiments.overlap import same_requests
from recsys.rules.rules_schema import Rules
from recsys.types import Id


@dataclass(frozen=True, slots=True)
class ArmList:
    """A kind of list. generation: that makes and holds it. variant: a part of its key, "" for the control's.

    rules, candidates: in place of those of the control, None for the control's.
    """

    generation: str
    variant: str = ""
    rules: Rules | None = None
    candidates: int | None = None

    def __hash__(self) -> int:
        return hash((self.generation, self.variant))


LISTS_AHEAD = 86_400.0
"""Seconds before the start of an experiment from which its lists are made: `batch` runs once a day."""


def with_lists(document: ExperimentsDocument, now: float) -> list[Experiment]:
    """The experiments whose arms have users, or will have users soon; now: unix seconds."""
    return [each for each in document.experiments.values() if each.runs_at(now, LISTS_AHEAD)]


def list_of(arms: Sequence[tuple[Experiment, str]], live: str) -> ArmList:
    """The kind of list for a request in these arms; live: the control's generation."""
    served = {experiment.name: experiment.definition.arms[arm] for experiment, arm in arms}
    assigned = AssignedArms({experiment.name: arm for experiment, arm in arms}, served)
    return ArmList(assigned.generation or live, assigned.list_variant, assigned.rules, assigned.candidates)


def lists_of_users(experiments: Iterable[Experiment], live: str, users: Sequence[Id]) -> dict[ArmList, list[Id]]:
    """The kinds of lists that users need beside the control's, each with its users.

    Experiments whose caller assigns the arms have none: the requests name the arms.
    """
    assigned = [each for each in experiments if each.definition.assignment == "salt"]
    if not assigned or not users:
        return {}
    rows, members = np.unique(
        np.stack([each.lanes.assign(users) for each in assigned], axis=1), axis=0, return_inverse=True
    )
    needed: dict[ArmList, list[Id]] = {}
    for place, row in enumerate(rows):
        arms = {each.name: [*each.definition.arms][arm] for each, arm in zip(assigned, row, strict=True) if arm >= 0}
        of_row = [users[int(user)] for user in np.flatnonzero(members.ravel() == place)]
        for kind in _kinds(assigned, arms, live):
            needed.setdefault(kind, []).extend(of_row)
    return needed


def lists_of_moved_users(
    before: ExperimentsDocument, after: ExperimentsDocument, live: str, users: Sequence[Id], now: float
) -> dict[ArmList, list[Id]]:
    """The kinds of lists that users need after a change and did not need before it, each with its users."""
    had = lists_of_users(with_lists(before, now), live, users)
    needed = {}
    for kind, of_kind in lists_of_users(with_lists(after, now), live, users).items():
        known = {*had.get(kind, ())}
        needed[kind] = [user for user in of_kind if user not in known]
    return {kind: moved for kind, moved in needed.items() if moved}


def makes_lists(experiment: Experiment, live: str) -> bool:
    """Whether any arm of an experiment needs lists of its own."""
    return experiment.definition.assignment == "salt" and any(
        _has_lists(experiment, arm, live) for arm in experiment.definition.arms
    )


def _has_lists(experiment: Experiment, arm: str, live: str) -> bool:
    return list_of([(experiment, arm)], live) != ArmList(live)


def _kinds(experiments: Sequence[Experiment], arms: dict[str, str], live: str) -> set[ArmList]:
    """The kinds of a user in these arms.

    A request takes part in the experiments of its surface alone, and of these in those of its context alone.
    """
    taken = [each for each in experiments if each.name in arms and _has_lists(each, arms[each.name], live)]
    named = {surface for each in taken for surface in each.definition.audience.surfaces}
    kinds = set()
    for surface in ("", *named):  # "": any surface that no experiment names
        for some in _of_one_request([each for each in taken if each.takes_part(surface)]):
            kinds.add(list_of([(each, arms[each.name]) for each in some], live))
    return kinds - {ArmList(live)}


def _of_one_request(experiments: Sequence[Experiment]) -> Iterator[list[Experiment]]:
    """The sets of a surface's experiments in which one request can take part, by its context."""
    always = [each for each in experiments if not each.definition.audience.context]
    others = [each for each in experiments if each.definition.audience.context]
    for count in range(len(others) + 1):
        for some in combinations(others, count):
            if all(
                same_requests(one.definition.audience, two.definition.audience) for one, two in combinations(some, 2)
            ):
                yield [*always, *some]

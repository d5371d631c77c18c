"""Judge the arm of an experiment by slates that another arm explored.

An arm that changes `explore` alone is judged by the logged scores. An arm with a generation or rules is judged by a
replay with the models of its generation, or of the generation that made each slate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from recsys.errors import ExperimentError
from recsys.experiments.definition import Arm, Explore
from training.offpolicy.estimates import judge
from training.offpolicy.logged_slates import LoggedSlate, TargetDraws, redrawn, under
from training.offpolicy.replayed_target import MissingGeneration, ReplayedTarget
from training.results import ArmJudgement, Refusal

LEARNED = "asked before the end of the generation's data, so that the generation may have learned their events"
NO_HISTORY = "with events of the request, or of a store that was away: the history is not known"
DIVERSE = "made with diversity, whose values depend on the ranker's scores; name the rules"
NOT_HERE = "whose generation is not on this host"


def checked(name: str, arm: Arm) -> Arm:
    """The arm; ExperimentError if no log can judge it."""
    if not arm.changes & {"explore", "generation", "rules"}:
        raise ExperimentError(
            f"arms.{name} has no explore, generation or rules: nothing is to be judged. Add one of them."
        )
    if others := sorted(arm.changes & {"mode", "candidates"}):
        raise ExperimentError(
            f"arms.{name}.{others[0]} can't be judged: the log has no slates that show its effect. Leave it out."
        )
    return arm


def judge_arm(
    slates: Sequence[LoggedSlate], name: str, arm: Arm, target_of: Callable[[str], ReplayedTarget]
) -> ArmJudgement:
    """The result of slates for an arm that `checked` accepted.

    target_of: the policy of a generation. Its errors pass, but slates of a missing generation of the log are left out.
    """
    if not slates:
        return _result((), ())
    if arm.explore is not None and arm.changes == {"explore"}:
        return _result(slates, _redrawn(slates, name, arm.explore))
    kept: list[LoggedSlate] = []
    draws: list[TargetDraws] = []
    left_out, inactive = Counter[str](), dict[str, None]()
    for generation in [arm.generation] if arm.generation else sorted({each.generation for each in slates}):
        mine = [each for each in slates if arm.generation or each.generation == generation]
        try:
            target = replace(target_of(generation), rules=arm.rules, explore=arm.explore)
        except MissingGeneration:
            if arm.generation:
                raise
            left_out[NOT_HERE] += len(mine)
            continue
        usable = _usable(mine, target, left_out)
        kept, draws = kept + usable, draws + target.draws(usable)
        inactive |= dict.fromkeys(target.compiled.inactive)
    return _result(kept, draws, left_out, [*inactive])


def judge_targets(pairs: Iterable[tuple[Sequence[LoggedSlate], ReplayedTarget]]) -> ArmJudgement:
    """The result of slates, each with the target that they are judged for."""
    kept: list[LoggedSlate] = []
    draws: list[TargetDraws] = []
    left_out = Counter[str]()
    for slates, target in pairs:
        usable = _usable(slates, target, left_out)
        kept, draws = kept + usable, draws + target.draws(usable)
    return _result(kept, draws, left_out)


def _usable(slates: Sequence[LoggedSlate], target: ReplayedTarget, left_out: Counter[str]) -> list[LoggedSlate]:
    """The slates that a replay of a target can judge; `left_out` counts the others by reason."""
    found = []
    for slate in slates:
        if slate.asked <= target.data_end:
            left_out[LEARNED] += 1
        elif not slate.from_store:
            left_out[NO_HISTORY] += 1
        elif target.rules is None and len(slate.draws.values) > 1:
            left_out[DIVERSE] += 1
        else:
            found.append(slate)
    return found


def _redrawn(slates: Sequence[LoggedSlate], name: str, explore: Explore) -> list[TargetDraws]:
    if other := {each.draws.policy.fewer_than for each in slates} - {explore.fewer_than}:
        raise ExperimentError(
            f"arms.{name}.explore.fewer_than is {explore.fewer_than}, and the log has slates with {min(other)}, which "
            "decided the uncertain items. Judge a policy with the same number."
        )
    return [redrawn(each.draws, explore) for each in slates]


def _result(
    slates: Sequence[LoggedSlate],
    draws: Sequence[TargetDraws],
    left_out: Mapping[str, int] | None = None,
    inactive: Sequence[str] = (),
) -> ArmJudgement:
    found = judge(under(slates, draws))
    if left_out and not slates:
        found = Refusal("No explored slate can be judged.")
    return ArmJudgement(found, len(slates), len({each.user_id for each in slates}), dict(left_out or {}), inactive)

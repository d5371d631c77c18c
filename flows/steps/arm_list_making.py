"""Make the lists of users in arms of experiments, beside the control's lists, which all users have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from prefect import get_run_logger

from flows.list_parts.arm_lists import ArmWork, lists_of_arm
from flows.list_parts.list_work import ListWork
from flows.orchestration import store_step
from flows.steps.list_making import in_parts
from recsys.errors import GenerationError
from recsys.experiments.arm_lists import ArmList
from recsys.generation.manifest import Manifest
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.types import Id
from training.processes.engine import LOCAL, Engine
from training.progress import RunProgress, StepProgress


def all_users(flows: RedisFlowStore, manifest: Manifest) -> list[str]:
    """The users with a record in a generation, and those with events."""
    users: dict[str, None] = {}
    for bucket in range(manifest.user_buckets):
        users.update(dict.fromkeys(flows.read_user_ids(manifest.id, bucket)))
    users.update(dict.fromkeys(flows.active_users()))
    return [*users]


@dataclass(frozen=True, slots=True)
class ArmListMaking:
    """Makes lists of arms. control: how the control's lists are made. live: the control's generation."""

    control: ListWork
    live: Manifest
    engine: Engine = LOCAL

    def make(self, needed: Mapping[ArmList, Sequence[Id]], progress: RunProgress) -> int:
        """Make and write lists of some kinds for their users, one generation at a time, live first; return how many.

        A generation that can't be loaded gets no lists, and a warning: its arm is answered as the control then.
        """
        made = 0
        for kind in sorted(needed, key=lambda kind: (kind.generation != self.live.id, kind.generation, kind.variant)):
            with progress.step(f"lists of {kind.variant or kind.generation}") as step:
                try:
                    made += make_lists_of_arm(self._work(kind), [*map(str, needed[kind])], self.engine, step)
                except GenerationError as error:
                    get_run_logger().warning("No lists of an arm are made from %s. %s", kind.generation, error)
        return made

    def _work(self, kind: ArmList) -> ArmWork:
        candidates = kind.candidates or self.control.candidates
        lists = replace(
            self.control, generation=kind.generation, rules=kind.rules or self.control.rules, candidates=candidates
        )
        return ArmWork(lists, kind.variant, self.live.id, self.live.user_buckets)


@store_step
def make_lists_of_arm(work: ArmWork, users: Sequence[str], engine: Engine, progress: StepProgress) -> int:
    """Make and write an arm's lists for the users with a list of the control; return how many."""
    return sum(engine.map(partial(lists_of_arm, work), in_parts(users), progress))

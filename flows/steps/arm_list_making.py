"""Make the lists of users in arms of experiments, beside the control's lists, which all users have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from prefect import get_run_logger

from flows.steps.list_making import fetch, load_list_maker, make_lists
from recsys.environment import Environment
from recsys.errors import GenerationError
from recsys.experiments.arm_lists import ArmList
from recsys.generation.manifest import Manifest
from recsys.lists.list_maker import ListMaker
from recsys.rules import Rules
from recsys.store.from_environment import OpenStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.stored_types import Trending
from recsys.types import CANDIDATES, Id
from training.progress import RunProgress


def all_users(flows: RedisFlowStore, manifest: Manifest) -> list[str]:
    """The users with a record in a generation, and those with events."""
    users: dict[str, None] = {}
    for bucket in range(manifest.user_buckets):
        users.update(dict.fromkeys(flows.read_user_ids(manifest.id, bucket)))
    users.update(dict.fromkeys(flows.active_users()))
    return [*users]


@dataclass(frozen=True, slots=True)
class ArmListMaking:
    """Makes lists of arms. rules, trending: those of the control's lists. control: its maker, if that is loaded."""

    store: OpenStore
    environment: Environment
    rules: Rules
    trending: Trending
    control: ListMaker | None = None

    def make(self, needed: Mapping[ArmList, Sequence[Id]], now: float, progress: RunProgress) -> int:
        """Make and write lists of some kinds for their users, one generation at a time; return how many.

        A generation that can't be loaded gets no lists, and a warning: its arm is answered as the control then.
        """
        made, maker = 0, self.control
        for kind, users in sorted(needed.items(), key=lambda each: (each[0].generation, each[0].variant)):
            try:
                if maker is None or maker.manifest.id != kind.generation:
                    maker = self._load(kind.generation)
            except GenerationError as error:
                get_run_logger().warning("No lists of an arm are made from %s. %s", kind.generation, error)
                continue
            made += self._make(kind, maker, [*map(str, users)], now, progress)
        return made

    def _load(self, generation: str) -> ListMaker:
        folder = fetch(generation, self.environment, self.store.generations())
        return load_list_maker(folder, self.store.items(), self.rules).with_trending(self.trending.ids)

    def _make(self, kind: ArmList, maker: ListMaker, users: Sequence[str], now: float, progress: RunProgress) -> int:
        of_arm = replace(maker, rules=kind.rules or self.rules, candidates=kind.candidates or CANDIDATES)
        generations, flows = self.store.generations(), self.store.flows()
        with progress.step(f"lists of {kind.variant or kind.generation}") as step:
            return make_lists(of_arm, generations, flows, users, now, step, kind.variant)

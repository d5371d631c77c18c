"""Make the lists of users in arms of experiments, beside the control's lists, which all users have.

A list of an arm is made as of the user's list of the control: for its time, with its events. So both are equally old,
and a request takes the same mode with either of them. A user without a list of the control gets none of an arm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prefect import get_run_logger

from flows.orchestration import store_step
from flows.steps.list_making import CHUNK, fetch, load_list_maker, unpacked
from recsys.environment import Environment
from recsys.errors import GenerationError
from recsys.experiments.arm_lists import ArmList
from recsys.generation.manifest import Manifest
from recsys.lists.list_maker import ListMaker
from recsys.lists.user_list import UserList
from recsys.rules import Rules
from recsys.store.from_environment import OpenStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import Trending
from recsys.types import CANDIDATES, Id
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
    """Makes lists of arms. live: the control's generation, and its maker, if that is loaded.

    rules, trending: those of the control's lists.
    """

    store: OpenStore
    environment: Environment
    live: Manifest
    rules: Rules
    trending: Trending
    maker: ListMaker | None = None

    def make(self, needed: Mapping[ArmList, Sequence[Id]], progress: RunProgress) -> int:
        """Make and write lists of some kinds for their users, one generation at a time, live first; return how many.

        A generation that can't be loaded gets no lists, and a warning: its arm is answered as the control then.
        """
        made, maker = 0, self.maker
        for kind in sorted(needed, key=lambda kind: (kind.generation != self.live.id, kind.generation, kind.variant)):
            try:
                if maker is None or maker.manifest.id != kind.generation:
                    maker = self._load(kind.generation)
            except GenerationError as error:
                get_run_logger().warning("No lists of an arm are made from %s. %s", kind.generation, error)
                continue
            made += self._make(kind, maker, [*map(str, needed[kind])], progress)
        return made

    def _load(self, generation: str) -> ListMaker:
        folder = fetch(generation, self.environment, self.store.generations())
        return load_list_maker(folder, self.store, self.rules).with_trending(self.trending.ids)

    def _make(self, kind: ArmList, maker: ListMaker, users: Sequence[str], progress: RunProgress) -> int:
        of_arm = replace(maker, rules=kind.rules or self.rules, candidates=kind.candidates or CANDIDATES)
        generations, flows = self.store.generations(), self.store.flows()
        with progress.step(f"lists of {kind.variant or kind.generation}") as step:
            return make_lists_of_arm(of_arm, kind.variant, self.live, generations, flows, users, step)


@store_step
def make_lists_of_arm(
    maker: ListMaker,
    variant: str,
    live: Manifest,
    generations: RedisGenerationStore,
    flows: RedisFlowStore,
    users: Sequence[str],
    progress: StepProgress,
) -> int:
    """Make and write an arm's lists for the users with a list of the control; return how many."""
    made = 0
    for start in range(0, len(users), CHUNK):
        controls = _control_lists(flows, live, users[start : start + CHUNK])
        for alike in _made_together(controls):
            lists = _lists(maker, generations, flows, alike)
            flows.write_lists(maker.manifest.id, maker.manifest.user_buckets, lists, variant)
            made += len(lists)
        progress(min(1.0, (start + CHUNK) / len(users)), f"{made:,} users")
    return made


def _control_lists(flows: RedisFlowStore, live: Manifest, users: Sequence[str]) -> dict[str, UserList]:
    """The users' lists of the control, without damaged ones."""
    found = {}
    for user, packed in zip(users, flows.read_lists(live.id, live.user_buckets, users), strict=True):
        try:
            control = UserList.unpack(packed)
        except ValueError:
            continue
        if control is not None:
            found[user] = control
    return found


def _made_together(controls: Mapping[str, UserList]) -> Iterator[dict[str, UserList]]:
    """Lists by the time at which they were made."""
    times: dict[float, dict[str, UserList]] = {}
    for user, control in controls.items():
        times.setdefault(control.made_at, {})[user] = control
    yield from times.values()


def _lists(
    maker: ListMaker, generations: RedisGenerationStore, flows: RedisFlowStore, controls: Mapping[str, UserList]
) -> dict[str, bytes]:
    """The packed list of each user, as of the control's list, all of which were made at one time."""
    users, now = [*controls], next(iter(controls.values())).made_at
    records = generations.read_records(maker.manifest.id, maker.manifest.user_buckets, users)
    histories = [[event for event in events if event.timestamp <= now] for events in flows.read_events(users)]
    made = maker.make([*zip(map(unpacked, records), histories, strict=True)], now)
    return {
        user: replace(each, events=control.events).pack()
        for (user, control), each in zip(controls.items(), made, strict=True)
    }

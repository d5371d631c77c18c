"""A ramp of an experiment under load: every answer must be of its user's arm, whole, and of one generation alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recsys.experiments import changes
from recsys.experiments.assignment import Lanes
from recsys.experiments.definition import Arm, Definition
from recsys.lists.user_list import UserList
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.redis_experiments import RedisExperimentStore
from tests.judged_load.http_load import Answer, HttpLoad
from tests.judged_load.served_pair import ServedPair
from tests.sample_data import tiny

NAME, ARM = "models", "new"

SETTLED_SECONDS = 3.0
"""Time after a change until every process has read it: a poll of 2 s, or the announcement."""

LIST_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the ramp. begun, changed: unix seconds around the write of the document. lanes: who has which arm."""

    ramp: float
    begun: float
    changed: float
    lanes: Lanes


@dataclass
class Figures:
    """What a load saw. wrong_arm: answers of another arm than the user's. p95_ms: by the ramp."""

    requests: int = 0
    failed: int = 0
    mixed: int = 0
    wrong_arm: int = 0
    degraded: int = 0
    away: int = 0
    from_lists: int = 0
    of_arm: int = 0
    p95_ms: dict[str, float] = field(default_factory=dict)


class RampUnderLoad:
    """An experiment whose arm has the second generation of a served pair; half of the users have lists."""

    def __init__(self, world: ServedPair) -> None:
        self.world = world
        self._store = RedisExperimentStore(world.server.url)
        if world.pair.second.manifest.id not in world.store.generations():
            world.put(world.pair.second)
        self._ids = {each.manifest.id: each for each in (world.pair.first, world.pair.second)}
        self._lists = {generation: self._write_lists(generation) for generation in self._ids}

    def run(self, ramps: Sequence[float], seconds: float, rate: float) -> Figures:
        """Start the experiment, and send requests while the ramp takes these values, each for so many seconds."""
        world, second = self.world, self.world.pair.second
        definition = Definition(name=NAME, arms={ARM: Arm(share=1.0, generation=second.manifest.id)})
        self._store.change(lambda document: changes.create(document, definition, time.time()))
        steps = [self._step(0.0, start=True)]
        assert world.wait_for(lambda status: self._all_hold(status, second.manifest.id), 60) is not None
        time.sleep(2 * SETTLED_SECONDS)  # until the gateways have warmed it up
        with HttpLoad(world.deployment.url, list(range(tiny.USERS)), rate) as load:
            for ramp in ramps:
                steps.append(self._step(ramp))
                time.sleep(seconds)
        self._store.change(lambda document: changes.stop(document, NAME, time.time()))
        self._store.close()
        with world.server.client() as client:  # later tests expect slates that are computed
            client.delete(*client.keys("gen:*:lists:*"))
        return self._judge(load.answers, steps)

    def _step(self, ramp: float, start: bool = False) -> Step:
        begun = time.time()
        change = (
            (lambda document: changes.start(document, NAME, begun))
            if start
            else lambda document: changes.ramp(document, NAME, ramp, begun)
        )
        document = self._store.change(change)
        return Step(ramp, begun, time.time(), document.experiments[NAME].lanes)

    def _all_hold(self, status: dict, generation: str) -> bool:
        return all(generation in process["held"] for process in status["processes"])

    def _write_lists(self, generation: str) -> dict[int, list[str]]:
        """Write a list of random items for each second user; the lists of two generations differ."""
        folder = self._ids[generation]
        tables, flows, lists, packed = folder.tables(), RedisFlowStore(self.world.server.url), {}, {}
        for user in range(0, tiny.USERS, 2):
            rng = np.random.default_rng([user, sorted(self._ids).index(generation)])
            rows = rng.permutation(len(tables))[:LIST_LENGTH].astype(np.int32)
            made = UserList(time.time(), 0, rows, np.zeros(LIST_LENGTH, np.uint16), -np.arange(LIST_LENGTH, dtype="f4"))
            lists[user] = [tables.ids[int(row)] for row in rows]
            packed[str(user)] = made.pack()
        flows.write_lists(generation, folder.manifest.user_buckets, packed)
        flows.close()
        return lists

    def _judge(self, answers: Sequence[Answer], steps: Sequence[Step]) -> Figures:
        figures = Figures(len(answers), sum(answer.failed for answer in answers))
        for answer in answers:
            if answer.failed or answer.body is None:
                continue
            body = answer.body
            figures.degraded += bool(body["degraded"])
            figures.away += bool(body["arms_away"])
            figures.from_lists += body["mode"] == "batch"
            figures.of_arm += body["arms"].get(NAME) == ARM
            figures.wrong_arm += body["arms"].get(NAME) not in self._allowed(answer, steps)
            figures.mixed += not self._is_of_its_arm(answer)
        for step, following in zip(steps[1:], [*steps[2:], None], strict=True):
            end = following.begun if following else np.inf
            took = [answer.seconds for answer in answers if step.begun <= answer.due < end]
            figures.p95_ms[f"{len(figures.p95_ms)}: {step.ramp:.0%}"] = round(1000 * float(np.percentile(took, 95)), 1)
        return figures

    def _allowed(self, answer: Answer, steps: Sequence[Step]) -> set[str | None]:
        """The arms that the user may have had while the request was answered."""
        assert answer.body is not None
        user, begun, ended = answer.body["user_id"], answer.due, answer.due + answer.seconds
        return {
            step.lanes.arm_of(user)
            for step, following in zip(steps, [*steps[1:], None], strict=True)
            if step.begun <= ended and (following is None or begun <= following.changed + SETTLED_SECONDS)
        }

    def _is_of_its_arm(self, answer: Answer) -> bool:
        """Whether the answer is of the arm that it names: computed again from the folders, or the arm's list."""
        body = answer.body
        assert body is not None
        served = ARM if body["arms"].get(NAME) == ARM and not body["arms_away"] else "control"
        folder = self.world.pair.second if served == ARM else self.world.pair.first
        if body["generation"] != folder.manifest.id:
            return False
        expected, user = self.world.expected[body["generation"]], body["user_id"]
        if body["mode"] == "batch" and user % 2 == 0:
            listed = self._lists[body["generation"]][user]
            shown = [item["item_id"] for item in body["items"]]
            left = iter(listed)
            return all(item in left for item in shown)  # in the order of the list, without what the user has seen
        return expected.agrees(body, answer.due)

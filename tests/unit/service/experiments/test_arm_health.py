"""When a gateway halts the arm of an experiment, with fakes of the generations and of the stages."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from recsys.errors import StoreError, StoreUnavailable
from recsys.experiments.assigned_arms import AssignedArms
from recsys.experiments.definition import CONTROL, Arm
from service.experiments.arm_health import AWAY_SECONDS, ERRORS, ArmHealth
from service.generations.experiments_follower import ExperimentsFollower
from tests.fakes.fake_generations import Experiments

ARM = "test-g2", "new"


class World:
    """A gateway with the live generation g1 and an arm of generation g2. failing: generations without ranking."""

    def __init__(self, monkeypatch):
        self.store, self.failing, self.refusals = Experiments(), set(), {}
        self.store.answer_from("g2")
        self.follower = ExperimentsFollower(self.store)
        self.follower.refresh()
        following = SimpleNamespace(experiments=self.follower, refusals=self.refusals)
        self.pipeline = SimpleNamespace(arms_away=[])
        switcher = SimpleNamespace(
            follower=following, of_arm=lambda each: SimpleNamespace(id=each), live=lambda: SimpleNamespace(id="g1")
        )
        self.health = ArmHealth(switcher, self.pipeline)
        self.now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

        async def left_out(_, served, *__, **___):
            return {"ranking"} if served.id in self.failing else set()

        monkeypatch.setattr("service.generations.warm_up.left_out", left_out)

    def check(self):
        asyncio.run(self.health._check())
        return self.store.halted

    def note(self, arm, failed, forced=False):
        changes = {} if arm == CONTROL else {"test-g2": Arm(share=0.5, generation="g2")}
        assigned = AssignedArms({"test-g2": arm}, changes, forced=forced)
        self.health.note(SimpleNamespace(assigned=assigned), failed)


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def served(world):
    """The arms that serve a user of the arm `new`: none while the arm is halted."""
    user = next(user for user in range(100) if world.store.document.experiments["test-g2"].lanes.arm_of(user) == "new")
    found = world.follower.current.assign(user, "default", {}, time.time(), {})
    assert found.assignment["test-g2"] == "new"
    return found.exposures


def test_an_arm_that_lacks_a_stage_for_seconds_is_halted(world):
    """While the live generation has it. A backend that restarts loads the live generation first."""
    world.pipeline.arms_away = ["g2"]
    for failing in ({"g1", "g2"}, {"g2"}, set(), {"g2"}):
        world.failing = failing
        assert world.check() == {}
        world.now += AWAY_SECONDS - 1
        assert world.check() == {}
    world.now += 1
    assert world.check() == {ARM: "Generation g2 lacks retrieval or ranking; the live generation has both."}


@pytest.mark.parametrize(("control_fails", "halts"), [(False, 1), (True, 0)])
def test_an_arm_of_errors_in_a_row_is_halted_unless_the_control_has_them_too(world, control_fails, halts):
    """One slate without an error begins the count again."""
    world.note(CONTROL, control_fails)
    for _ in range(ERRORS - 1):
        world.note("new", failed=True)
    world.note("new", failed=False)
    world.note("new", failed=True)
    for _ in range(ERRORS):
        world.note("new", failed=True, forced=True)
    assert world.check() == {}
    for _ in range(ERRORS - 1):
        world.note("new", failed=True)
    assert len(world.check()) == halts


def test_a_gateway_that_may_not_write_a_halt_serves_the_control_by_itself(world, caplog):
    """It logs why. The halt ends when its experiment changes, and not when another one does."""

    def refuse(*_):
        raise StoreError("Redis refused: this user has no permissions.")

    world.store.halt = refuse
    world.refusals["g2"] = "gateway: A hash differs."
    for _ in range(3):
        world.check()
        world.follower.refresh()
    assert served(world) == {}
    assert caplog.text.count("this process alone serves the control") == 1
    world.refusals.clear()
    world.store.answer_from("g2", "g3")
    world.follower.refresh()
    assert "test-g2" not in served(world)
    for generations in ((), ("g2",)):
        world.store.answer_from(*generations)
        world.follower.refresh()
    assert served(world) == {"test-g2": "new"}


def test_a_halt_during_an_outage_of_redis_is_written_when_redis_is_back(world, monkeypatch):
    """The gateway serves the control at once, and the other gateways after the outage."""

    def away(*_):
        raise StoreUnavailable("No Redis answers.")

    world.refusals["g2"] = "gateway: A hash differs."
    with monkeypatch.context() as outage:
        outage.setattr(world.store, "halt", away)
        assert world.check() == {}
        world.follower.refresh()
        assert served(world) == {}
    world.follower.refresh()
    assert world.store.halted == {ARM: "Generation g2 was refused by gateway: A hash differs."}

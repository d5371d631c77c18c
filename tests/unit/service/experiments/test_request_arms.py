"""What a query gets from its user's arms, and the control where an arm can't be served, with fake generations."""

import time
from types import SimpleNamespace

import pytest

from recsys.errors import QueryError
from recsys.slates.query import Query
from service import schema
from service.experiments.request_arms import RequestArms
from service.generations.experiments_follower import ExperimentsFollower
from service.verbs.queries import Situation
from tests.fakes.fake_generations import Experiments

LIVE = SimpleNamespace(id="g1")
NEW = SimpleNamespace(id="g2", with_items=lambda _: NEW)


@pytest.fixture
def arms():
    """The arms of requests, and the generations of arms that can be served."""
    store, in_force = Experiments(), {"g2": NEW}
    store.answer_from("g2")
    follower = ExperimentsFollower(store)
    follower.refresh()
    switcher = SimpleNamespace(follower=SimpleNamespace(experiments=follower), of_arm=in_force.get)
    return RequestArms(switcher, SimpleNamespace(current=()), None), in_force


def user_of(arm, arms):
    lanes = arms[0]._switcher.follower.experiments.current.document.experiments["test-g2"].lanes
    return next(user for user in range(100) if lanes.arm_of(user) == arm)


def pinned(arms, arm, build=lambda situation: situation):
    """The situation of a user of an arm."""
    user = user_of(arm, arms)
    situation = Situation(LIVE, SimpleNamespace(name="default"), 0.0, time.time(), Query)
    return arms[0].query(schema.RecommendRequest(user_id=user), user, situation, build)


def test_an_arm_that_is_not_in_force_gives_the_control_and_a_note(arms):
    """The answer names the arm, the slate is no exposure of it, and the user stays assigned for reports."""
    arms[1].clear()
    found = pinned(arms, "new")
    assert (found.generation, found.assigned.arms, found.assigned.away) == (LIVE, {"test-g2": "new"}, ("test-g2",))
    assert (found.assigned.exposures, found.assigned.assignment) == ({}, {"test-g2": "new"})


def test_a_request_that_the_arms_generation_alone_refuses_gets_the_control(arms):
    """As for a column that it lacks. A request that the live generation refuses too is an error."""

    def build(situation, refusing):
        if situation.generation in refusing:
            raise QueryError("The live generation has no context column of this name; it has none.", "context.device")
        return situation

    found = pinned(arms, "new", lambda situation: build(situation, [NEW]))
    assert (found.generation, found.assigned.away) == (LIVE, ("test-g2",))
    for arm, refusing in (("new", [NEW, LIVE]), ("control", [LIVE])):
        with pytest.raises(QueryError, match="no context column"):
            pinned(arms, arm, lambda situation, refusing=refusing: build(situation, refusing))

"""The assignment of users to arms: sticky, monotone in the ramp, in the stated shares, the same in all processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from recsys.experiments.arm_lists import ArmList, lists_of_users
from recsys.experiments.assignment import IN_CONTROL, OUTSIDE
from recsys.experiments.definition import CONTROL, Arm, Audience, Definition
from recsys.experiments.document import Experiment, ExperimentsDocument
from recsys.experiments.positions import positions
from recsys.experiments.running_experiments import RunningExperiments

GOLDEN = json.loads((Path(__file__).parent / "golden_assignments.json").read_text(encoding="utf-8"))
USERS = [f"user {n}" for n in range(100_000)]

shares = st.lists(st.floats(0.01, 0.25), min_size=1, max_size=4)
parts = st.floats(0, 1)
ids = st.lists(st.one_of(st.integers(), st.text(max_size=20)), max_size=30)


def experiment(
    shares: list[float], ramp: float = 1.0, name: str = "test", slot: tuple[float, float] = (0.0, 1.0), **fields: object
) -> Experiment:
    """A running experiment with the arms a, b, c and d."""
    arms = {arm: Arm(share=share) for arm, share in zip("abcd", shares, strict=False)}
    definition = Definition.model_validate({"name": name, "arms": arms, **fields})
    return Experiment(definition=definition, status="running", ramp=ramp, slot=slot)


@settings(deadline=None)
@given(shares, parts, ids)
def test_an_arm_depends_on_the_user_alone(shares: list[float], ramp: float, users: list[str | int]) -> None:
    """The arm is the same for one user and among others, in any order, and for the id as a number or a text."""
    lanes = experiment(shares, ramp).lanes
    together = {str(user): arm for user, arm in zip(users, lanes.assign(users), strict=True)}
    for user in reversed(users):
        assert lanes.assign([user])[0] == lanes.assign([str(user)])[0] == together[str(user)]


@settings(max_examples=50, deadline=None)
@given(shares, parts, parts, st.sets(st.sampled_from("abcd")))
def test_a_ramp_moves_users_between_the_control_and_an_arm_alone(
    shares: list[float], one: float, other: float, halted: set[str]
) -> None:
    """Of two ramps, the higher keeps every user of the lower in the same arm. A halt moves users to the control."""
    before, after = (experiment(shares, ramp).lanes.assign(USERS[:2_000]) for ramp in sorted((one, other)))
    assert np.all((before == after) | ((before == IN_CONTROL) & (after >= 0)))
    stopped = experiment(shares, one).model_copy(update={"halted": dict.fromkeys(halted, "a reason")})
    now, full = stopped.lanes.assign(USERS[:2_000]), experiment(shares, one).lanes.assign(USERS[:2_000])
    assert np.all((now == full) | (now == IN_CONTROL))


@pytest.mark.parametrize("ramp", [0.05, 1.0])
def test_shares_of_a_million_users(ramp: float) -> None:
    """The numbers of users in each arm and in the control lie within binomial bounds.

    The users are fixed, so that the test gives the same result each time: a bound of 1e-4 at each side.
    """
    users = range(1_000_000)
    assigned = experiment([0.5, 0.1], ramp).lanes.assign(users)
    wanted = {0: 0.5 * ramp, 1: 0.1 * ramp, IN_CONTROL: 1 - 0.6 * ramp}
    for arm, share in wanted.items():
        least, most = binom.ppf([1e-4, 1 - 1e-4], len(users), share)
        assert least <= np.sum(assigned == arm) <= most


def test_lists_are_made_for_the_users_of_the_arm() -> None:
    """For 100,000 users, the users whose lists flows make are those whom serving gives the arm, one by one."""
    running = experiment([0.2, 0.3], 0.5)
    arms = {**running.definition.arms, "b": Arm(share=0.3, generation="g2", candidates=50)}
    running = running.model_copy(update={"definition": running.definition.model_copy(update={"arms": arms})})
    serving = RunningExperiments(ExperimentsDocument(experiments={"test": running}))
    online = [user for user in USERS if serving.assign(user, "home", {}, 0.0, {}).list_variant == "test.b"]
    assert lists_of_users([running], "g1", USERS) == {ArmList("g2", "test.b", None, 50): online}


def test_users_in_two_arms_have_a_list_for_each_context() -> None:
    """A request takes part in the experiments of its context: each set of arms that a request can have has lists."""
    changes = [
        ("models", {"generation": "g2"}, {}),
        ("tv", {"candidates": 9}, {"device": ("tv",)}),
        ("car", {"candidates": 5}, {"device": ("car",)}),
    ]
    running = [
        Experiment(
            definition=Definition(
                name=name, arms={"new": Arm(share=1.0, **changed)}, audience=Audience(context=context)
            ),
            status="running",
            ramp=1.0,
        )
        for name, changed, context in changes
    ]
    serving = RunningExperiments(ExperimentsDocument(experiments={each.name: each for each in running}))
    online = {serving.assign("7", "home", {"device": one}, 0.0, {}).list_variant for one in ("tv", "car", "phone")}
    made = lists_of_users(running, "g1", ["7"])
    assert online == {"", "tv.new", "car.new"} == {each.variant for each in made}
    assert {each.generation for each in made} == {"g2"}
    assert len(made) == 3


def test_golden_values() -> None:
    """Positions and arms are those of the first release: another value moves users of running experiments.

    The experiment has a slot of a layer and a holdout, which the release before could start.
    """
    for salt, of_salt in GOLDEN["positions"].items():
        assert positions(salt, [*of_salt]).tolist() == [*of_salt.values()]
    arms = experiment([0.2, 0.3], 0.5, slot=(0.1, 0.8), layer="golden", audience=Audience(holdout=0.1)).lanes
    assert {user: arms.arm_of(user) for user in GOLDEN["arms"]} == GOLDEN["arms"]
    names = {OUTSIDE: None, IN_CONTROL: CONTROL, 0: "a", 1: "b"}
    assert [names[arm] for arm in arms.assign([*GOLDEN["arms"]]).tolist()] == [*GOLDEN["arms"].values()]
    assert {*GOLDEN["arms"].values()} == {"a", "b", CONTROL, None}

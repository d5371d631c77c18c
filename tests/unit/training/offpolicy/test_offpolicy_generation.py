"""Off-policy estimates of generations and rules: a replay repeats serving, and judges by nothing that was learned."""

from functools import cache

import numpy as np
import pytest
import torch

from recsys.experiments.definition import Arm
from recsys.model.ranker import RankerNet
from recsys.rules import parse
from tests.sample_data import explored_slates, tiny
from tests.sample_data.altered_generation import altered
from training.offpolicy.arm_judgement import LEARNED, judge_arm
from training.offpolicy.logged_slates import read
from training.offpolicy.replayed_target import read_past, stored_target
from training.read.locations import Location
from training.results import Judgement, Refusal

EXPLORE = {"slates": 1.0, "temperature": 0.5, "uncertain": 0.1}
VISITORS = 1_100
SERVED = "g-noisy"


def noisy(path):
    """Disturb the last layer of the ranker."""
    net = RankerNet.load(path / "ranker.safetensors")
    torch.manual_seed(1)
    with torch.no_grad():
        net.out.weight += net.out.weight.std() * torch.randn_like(net.out.weight)
    (path / "ranker.safetensors").unlink()
    net.save(path / "ranker.safetensors")


class World:
    """A generation with a noisy ranker that served explored slates, and the same generation without the noise."""

    def __init__(self, home):
        folder, log = tiny.generation(home)
        self.home, self.folder, self.better = home, folder.path.parent, folder.path.name
        altered(folder, self.folder / SERVED, noisy)
        altered(folder, self.folder / "g-late", data=folder.manifest.data | {"last": log.end + 4 * 86_400})
        self.asked = log.end + 3 * 86_400  # after the day whose events the features count
        self.events = explored_slates.visitors(VISITORS, log.end + 60)
        self.others = explored_slates.visitors(VISITORS, log.end + 60, seed=5)
        explored_slates.write_events(home, self.events)
        past = read_past(Location(str(home / "events")), [*self.events], self.asked, self.asked)
        self.target = cache(lambda generation: stored_target(self.folder, generation, past))
        explored_slates.write(home, self.serve(SERVED, self.events), self.events)
        self.slates = read([Location(str(file)) for file in (home / "impressions").rglob("*.parquet")])

    def serve(self, generation, events, rules=None):
        return explored_slates.serve(self.target(generation).model, events, self.asked, EXPLORE, rules)

    def rewards(self, generation, rules=None):
        """The items that other visitors take, by visitor and place."""
        slates = self.serve(generation, self.others, parse(rules) if rules else None)
        return np.array([explored_slates.chances(each, self.others) for each in slates])

    def judge(self, **changes):
        return judge_arm(self.slates, "it", Arm(share=1.0, **changes), self.target)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("offpolicy"))


@pytest.mark.parametrize("rules", ["", "exclude_seen = true"])
def test_a_replay_of_the_generation_that_served_has_the_logged_probabilities(world, rules):
    """As logged and by rules, which are those of the log here: the history, candidates, scores and draws are those of
    serving. So every weight is 1.
    """
    changes = {"generation": SERVED} | ({"rules": parse(rules)} if rules else {})
    for slate, draws in zip(world.slates[:200], world.target(SERVED).draws(world.slates[:200]), strict=True):
        shown = draws.chances[np.arange(len(slate.items)), slate.shown]
        np.testing.assert_allclose(shown, slate.draws.propensities, rtol=1e-4)
        np.testing.assert_allclose(draws.chances.sum(axis=1), 1)
    found = world.judge(**changes).found
    assert found.inverse_propensity.value == pytest.approx(found.logged.value)
    assert found.overlap.outside == pytest.approx((0,) * 4, abs=1e-6)


@pytest.mark.parametrize("rules", ["", "[[boost]]\nwhere = {genre = 'drama'}\nby = 0.3"])
def test_the_reward_of_another_ranker_is_estimated(world, rules):
    """With the rules of the log, and with a boost. The truth is what other visitors take, with an error of its own."""
    found = world.judge(generation=world.better, **({"rules": parse(rules)} if rules else {})).found
    assert isinstance(found, Judgement)
    truth, logged = (world.rewards(*of)[:, : found.places].sum(axis=1) for of in ((world.better, rules), (SERVED,)))
    for estimate, rewards in (
        (found.inverse_propensity, truth),
        (found.doubly_robust, truth),
        (found.logged, logged),
        (found.difference, truth - logged),
    ):
        error = np.hypot(estimate.error, rewards.std() / np.sqrt(VISITORS))
        assert abs(estimate.value - rewards.mean()) < 2.5 * error


def test_slates_that_a_generation_may_have_learned_judge_nothing(world):
    """A generation whose data ends after the slates' requests."""
    judged = world.judge(generation="g-late")
    assert judged.left_out == {LEARNED: VISITORS}
    assert judged.found == Refusal("No explored slate can be judged.")


def test_what_the_log_can_not_show_is_refused(world):
    """A pin of an item that the log rarely has at the first place. Rules without effect are named."""
    rules = parse("[[pin]]\nitem = 'drama-20'\nplace = 1\n[[cap]]\ncolumn = 'brand'\nat_most = 1")
    judged = world.judge(rules=rules)
    assert isinstance(judged.found, Refusal)
    assert judged.found.overlap.effective_users[0] < 100
    assert "no categorical column 'brand'" in judged.notes[0]

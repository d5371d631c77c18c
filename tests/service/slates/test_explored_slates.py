"""An arm that explores, from its slates to the files of `drain`; each propensity is computed again."""

import json
import time
import tomllib

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.lists import exploration_record
from recsys.slates.exploring import STEADY_SECONDS
from recsys.store.redis.redis_experiments import RedisExperimentStore
from tests.sample_data import tiny
from tests.servers.deployment import wait_for
from training.__main__ import main

USERS = [f"visitor-{number}" for number in range(30)]
CURIOUS = """
name = "curiosity"
[arms.curious]
share = 1.0
[arms.curious.rules]
pin = [{item = "drama-20", place = 2}]
[arms.curious.explore]
slates = 0.5
temperature = 1.0
uncertain = 0.25
fewer_than = 30
"""


def run_experiment(url, text):
    """Run the experiment of a TOML text for all of its users."""
    definition, now = checked(tomllib.loads(text)), time.time()

    def change(document):
        document = changes.start(changes.create(document, definition, now), definition.name, now)
        return changes.ramp(document, definition.name, 1.0, now)

    RedisExperimentStore(url).change(change)


@pytest.fixture(scope="module")
def world(inline):
    """A deployment whose experiment has all users in an arm that explores half of the slates."""
    run_experiment(inline.url, CURIOUS)
    wait_for(lambda: inline.recommend("first", log_impression=False)["arms"] == {"curiosity": "curious"})
    return inline


@pytest.fixture(scope="module")
def slates(world):
    """The answer for each user. All of them are of one window, in which a user's draws are the same."""
    if (left := STEADY_SECONDS - time.time() % STEADY_SECONDS) < 30:
        time.sleep(left)
    return {user: world.recommend(user, mode="realtime", k=10) for user in USERS}


@pytest.fixture(scope="module")
def rows(world, slates):
    """The rows that `drain` wrote."""
    for user in USERS:
        world.recommend(user, mode="batch", k=10)
    time.sleep(2.5)
    done = world.flow("drain", "--wait", "0")
    assert done["damaged"] == 0
    return pq.read_table(done["files"], partitioning=None).to_pandas()


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


def test_the_propensity_of_each_item_is_computed_again(rows, slates):
    """By the formula in the docs, from what the file holds of the slate: candidates, values and what was admitted."""
    for user, shown in rows[rows["explored"]].groupby("user_id"):
        draws = exploration_record.unpack(shown["exploration"].dropna().item())
        for item, place, propensity in zip(shown["item_id"], shown["place"], shown["propensity"], strict=True):
            assert ids(slates[user])[place] == item
            if place == 1:
                assert (item, propensity, draws.admitted[place].any()) == ("drama-20", 1.0, np.False_)
                continue
            admitted = draws.admitted[place]
            chances = np.exp(draws.values[0].astype(float) / draws.deviation) * admitted
            rare = (draws.uncertain & admitted).astype(float)
            chances = (chances / chances.sum()) * (1 - 0.25 * rare.any()) + 0.25 * rare / max(rare.sum(), 1)
            assert propensity == pytest.approx(chances[draws.items.index(item)], rel=1e-9)
            assert not admitted[[draws.items.index(each) for each in ids(slates[user])[:place]]].any()
        assert [draws.items[at] for at in draws.drawn() if at >= 0] == [*shown[shown["place"] != 1]["item_id"]]


def test_a_second_request_and_an_explanation_agree_with_the_slate(world, slates):
    """Within the window of the draw. The answer names the draw among the rules that moved an item."""
    moved = [user for user, answer in slates.items() if any("explore" in item["rules"] for item in answer["items"])]
    assert 5 <= len(moved) <= 25
    for user in moved[:3]:
        assert ids(world.recommend(user, mode="realtime", k=10, log_impression=False)) == ids(slates[user])
        for place, item in enumerate(slates[user]["items"][:5]):
            body = {"user_id": user, "item_id": item["item_id"], "mode": "realtime", "k": 10}
            explained = world.client.post("/explain", json=body).json()
            assert (explained["place"], explained["rules"]) == (place + 1, item["rules"])


@pytest.fixture(scope="module")
def judged(world, tiny_world, slates):
    """The served generation and one that is trained later, judged by slates of 120 visitors, half of them explored."""
    for number in range(120):
        user = f"guest-{number}"
        world.click(user, f"{tiny.CATEGORIES[number % 3]}-{number % 7}")
        shown = ids(world.recommend(user, mode="realtime", k=5))
        world.click(user, *shown[:2])
    time.sleep(2.5)
    world.flow("drain", "--wait", "0")
    home, served = world.home / "flows", tiny_world[0]
    trained = world.flow("run", "--data", str(served.path.parent.parent / "data"), "--config", "small", "--force")
    (home / "generations" / served.path.name).symlink_to(served.path)
    found = {}
    for generation in (served.path.name, trained["generation"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TANDEM_HOME", str(home))
            target = str(world.home / f"{generation}.json")
            arguments = ["--impressions", str(home / "impressions"), "--generation", generation, "--json", target]
            assert main(["offpolicy", *arguments]) == 0
        found[generation] = json.loads((world.home / f"{generation}.json").read_text())[generation]
    return [*found.values()]


def test_generations_are_judged_by_the_slates_of_a_deployment(judged):
    """A replay of the served generation has the logged probabilities, by the users' events of the deployment: each user
    weighs the same. Both are refused, because the users are few.
    """
    served, other = judged
    users, *_ = served["overlap"]["effective_users"]
    assert 40 < users < 150
    assert served["overlap"]["effective_users"][:5] == pytest.approx([users] * 5, rel=1e-3)
    assert served["overlap"]["outside"][:5] == pytest.approx([0] * 5, abs=1e-3)
    assert other["overlap"]["effective_users"][0] < users
    assert "An estimate needs 800 users" in served["sentence"]

"""Batch, micro-batch, hybrid and real time, rules and trends: the flows' command line beside a running deployment."""

import time

import pyarrow.parquet as pq
import pytest
import redis

from recsys.model.features import FEATURES
from recsys.store import RedisGenerationStore
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.deployment_with_flows import DeploymentWithFlows
from training.data import impressions

USER = 5


@pytest.fixture(scope="module")
def world(tiny_world, own_valkey_url, prefect_url, tmp_path_factory):
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    home = tmp_path_factory.mktemp("modes")
    with Deployment(home, home / "service.log", REDIS_URL=own_valkey_url) as running:
        yield DeploymentWithFlows(home, own_valkey_url, running, prefect_url)


@pytest.fixture(scope="module")
def listed(world):
    """What `batch` said, run once everybody is as they are now."""
    world.click("newcomer", "drama-1", "drama-2")
    return world.flow("batch", "--top", "5")


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


def test_without_lists_everything_is_computed(world):
    """auto and hybrid are real time while there is no list; batch answers what the publish computed."""
    assert world.ask("stranger")["mode"] == "realtime"
    assert world.ask("stranger", mode="hybrid")["mode"] == "realtime"
    told = world.ask(USER, mode="batch")
    assert told["mode"] == "batch"
    assert all(item["sources"] == ["precomputed"] for item in told["items"])


class TestLists:
    def test_everyone_has_a_list_and_a_row_in_parquet(self, world, listed):
        """Those that the generation knows and those known by their events alone; five a user, none seen before."""
        assert listed["lists"] == tiny.USERS + 1
        table = pq.read_table(listed["parquet"]).to_pandas()
        assert table.groupby("user_id").size().eq(5).all()
        assert table["user_id"].nunique() == tiny.USERS + 1
        newcomer = table[table["user_id"] == "newcomer"]
        assert not set(newcomer["item_id"]) & {"drama-1", "drama-2"}
        assert newcomer["item_id"].str.startswith("drama").sum() >= 4

    def test_batch_is_what_the_file_says(self, world, listed):
        """The list as it was made, in its order, and the same that everything computed anew would be."""
        told = world.ask(USER, mode="batch", k=5)
        table = pq.read_table(listed["parquet"]).to_pandas()
        assert ids(told) == table[table["user_id"] == str(USER)]["item_id"].tolist()
        anew = world.ask(USER, mode="realtime", k=5)
        assert len(set(ids(anew)) & set(ids(told))) >= 4

    def test_auto_is_batch_until_something_happens(self, world, listed):
        """Then hybrid, then real time; a click is known at once whatever the mode."""
        assert world.ask(7)["mode"] == "batch"
        shown = ids(world.ask(7))
        world.click(7, shown[0])
        after = world.ask(7)
        assert after["mode"] == "hybrid"
        assert shown[0] not in ids(after)
        world.click(7, *shown[1:5])
        assert world.ask(7)["mode"] == "realtime"

    def test_a_session_or_a_context_is_ranked_anew(self, world, listed):
        """The list knows of neither."""
        assert world.ask(8)["mode"] == "batch"
        assert world.ask(8, session=[{"item_id": "action-3"}])["mode"] == "hybrid"
        assert world.ask(8, context={"device": "mobile"})["mode"] == "hybrid"

    def test_an_event_that_comes_late_counts(self, world, listed):
        """Its own time lies before the list's, and still it is news."""
        shown = ids(world.ask(9))
        event = {"user_id": 9, "item_id": shown[0], "timestamp": time.time() - 7 * 86_400}
        world.client.post("/events", json={"events": [event]}).raise_for_status()
        after = world.ask(9)
        assert after["mode"] == "hybrid"
        assert shown[0] not in ids(after)

    def test_filters_apply_to_a_list(self, world, listed):
        """Excluded, seen since and of another category: on no list; one that the filter leaves too short is none."""
        told = world.ask(10, mode="batch", k=20)
        again = world.ask(10, mode="batch", k=20, exclude=ids(told)[:3], filter={"categories": ["drama"]})
        assert not set(ids(told)[:3]) & set(ids(again))
        assert len(ids(again)) == 20
        assert (told["mode"], again["mode"]) == ("batch", "batch")
        more = world.ask(10, mode="batch", k=tiny.PER_CATEGORY + 1, filter={"categories": ["drama"]})
        assert more["mode"] == "realtime"
        assert all(item.startswith("drama") for item in ids(more))
        assert set(ids(again)) < set(ids(more))
        assert all(item.startswith("drama") for item in ids(again))

    def test_refresh_makes_lists_of_those_who_did_something(self, world, listed):
        """And of nobody else; after it their list knows what they did."""
        world.flow("refresh")
        world.click(11, "action-1", "action-2")
        assert world.ask(11)["mode"] == "hybrid"
        done = world.flow("refresh")
        assert done["lists"] == 1
        told = world.ask(11)
        assert told["mode"] == "batch"
        assert not {"action-1", "action-2"} & set(ids(told))

    def test_what_several_users_turn_to_is_trending(self, world, listed):
        """An item of no category of theirs comes to everyone as a candidate, and says why."""
        for user in range(30, 40):
            world.click(f"fan-{user}", "drama-24")
        assert world.flow("refresh")["trending"] >= 1
        time.sleep(6)
        told = world.client.post("/explain", json={"user_id": "fan of action", "item_id": "drama-24"}).json()
        assert "trending" in told["sources"]


class TestRules:
    def test_each_rule_and_a_broken_edit(self, world):
        """A cap, a boost, a pin and diversity, read while it runs; a mistake changes nothing and is told."""
        plain = world.ask("ruled", k=12, mode="realtime")
        world.rules('[[cap]]\ncolumn = "categories"\nat_most = 4\n[[pin]]\nitem = "drama-20"\nplace = 2\n')
        told = world.ask("ruled", k=12, mode="realtime")
        assert ids(told)[1] == "drama-20"
        assert told["items"][1]["rules"] == ["pin"]
        for category in tiny.CATEGORIES:
            assert sum(item.startswith(category) for item in ids(told)) == 4
        world.rules("[[cap]]\ncolumn = 3\n")
        assert ids(world.ask("ruled", k=12, mode="realtime")) == ids(told)
        assert any("cap.0.column" in line for line in world.client.get("/status").json()["rules"])
        world.rules('[[boost]]\nwhere = { categories = "action" }\nby = 9\n')
        assert all(item.startswith("action") for item in ids(world.ask("ruled", k=12, mode="realtime")))
        world.rules('[[bury]]\nwhere = { categories = "action" }\nby = 9\n[diversity]\nweight = 0.5\n')
        assert not any(item.startswith("action") for item in ids(world.ask("ruled", k=12, mode="realtime")))
        world.rules(
            '[[quota]]\nnew_within_days = 3650\nat_least = 3\nwithin = 5\n[[cap]]\ncolumn = "actor"\nat_most = 1'
        )
        assert any("actor" in line for line in world.client.get("/status").json()["rules"])
        world.rules("exclude_seen = false\n")
        shown = ids(world.ask(12, mode="batch"))[0]
        world.click(12, shown)
        assert shown in ids(world.ask(12, mode="batch"))
        world.deployment.rules.unlink()
        time.sleep(2.5)
        assert shown not in ids(world.ask(12, mode="batch"))
        assert ids(world.ask("ruled", k=12, mode="realtime")) == ids(plain)

    def test_no_rule_moves_similar_items(self, world):
        """They stay the likest first, and each has its likeness; what the rules hide stays hidden."""
        asked = {"item_id": "drama-3", "user_id": 4, "k": 8}
        plain = world.client.post("/similar", json=asked).json()
        world.rules(
            '[[pin]]\nitem = "action-20"\nplace = 1\n[[cap]]\ncolumn = "categories"\nat_most = 1\n'
            "[[bury]]\nwhere = { categories = 'drama' }\nby = 9\n[diversity]\nweight = 0.9\n"
        )
        assert ids(world.ask("ruled", mode="realtime"))[0] == "action-20"
        told = world.client.post("/similar", json=asked).json()
        world.deployment.rules.unlink()
        time.sleep(2.5)
        assert told["items"] == plain["items"]
        assert all(item["likeness"] is not None for item in told["items"])

    def test_a_cap_is_explained(self, world):
        """The item it kept out is told which."""
        best = ids(world.ask("capped", mode="realtime"))
        world.rules('[[cap]]\ncolumn = "categories"\nat_most = 1\n')
        first = best[0].partition("-")[0]
        out = next(item for item in best[1:] if item.startswith(first))
        told = world.client.post(
            "/explain", json={"user_id": "capped", "item_id": out, "mode": "realtime", "k": 10}
        ).json()
        assert (told["dropped_by"], told["place"]) == ("rules", None)
        assert f"cap categories={first}" in told["reason"]
        world.deployment.rules.unlink()
        time.sleep(2.5)

    def test_what_a_pin_pushed_out_is_explained(self, world):
        """The last of the best is told that the pin came before it, not that the ranker put it among them."""
        best = ids(world.ask("pushed", mode="realtime"))
        pinned = next(f"drama-{n}" for n in range(25) if f"drama-{n}" not in best)
        world.rules(f'[[pin]]\nitem = "{pinned}"\nplace = 1\n')
        told = world.client.post(
            "/explain", json={"user_id": "pushed", "item_id": best[-1], "mode": "realtime", "k": len(best)}
        ).json()
        assert (told["dropped_by"], told["ranked_place"]) == ("rules", len(best))
        assert "came before it by pin" in told["reason"]
        world.deployment.rules.unlink()
        time.sleep(2.5)


class TestImpressions:
    def test_slates_become_training_rows(self, world):
        """With the features they were ranked by, and what the user took."""
        world.flow("drain", "--wait", "0")
        told = world.ask("watched", mode="realtime", k=10)
        time.sleep(1.5)
        world.click("watched", ids(told)[3])
        time.sleep(2.5)
        done = world.flow("drain", "--wait", "2")
        assert done["damaged"] == 0
        table = pq.read_table(done["files"][0]).to_pandas()
        mine = table[table["user_id"] == "watched"].sort_values("place")
        assert mine["item_id"].tolist() == ids(told)
        assert mine[mine["label"]]["item_id"].tolist() == [ids(told)[3]]
        assert [round(score, 4) for score in mine["score"]] == pytest.approx(
            [i["score"] for i in told["items"]], abs=1e-3
        )
        shown = impressions.read(done["files"])
        assert shown.features.shape == (len(table), len(FEATURES))
        assert shown.labels.sum() == 1

"""The modes batch, micro-batch, hybrid and real time, with rules and trends: flows beside a running deployment."""

import time

import pyarrow.parquet as pq
import pytest

from tests.sample_data import tiny
from tests.servers.deployment import wait_for

USER = 5


@pytest.fixture(scope="module")
def world(inline):
    return inline


@pytest.fixture(scope="module")
def listed(world):
    """The result of `flows batch`, after the events of a new user."""
    world.click("newcomer", "drama-1", "drama-2")
    return world.flow("batch", "--top", "5")


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


class TestLists:
    def test_everyone_has_a_list_and_a_row_in_parquet(self, world, listed):
        """All users of the generation and the users that have only events: five unseen items each."""
        assert listed["lists"] == tiny.USERS + 1
        table = pq.read_table(listed["parquet"]).to_pandas()
        assert table.groupby("user_id").size().eq(5).all()
        assert table["user_id"].nunique() == tiny.USERS + 1
        newcomer = table[table["user_id"] == "newcomer"]
        assert not set(newcomer["item_id"]) & {"drama-1", "drama-2"}
        assert newcomer["item_id"].str.startswith("drama").sum() >= 4

    def test_mode_batch_answers_with_the_list_of_the_file(self, world, listed):
        """In the same order, and about the same as computed now."""
        answer = world.recommend(USER, mode="batch", k=5)
        table = pq.read_table(listed["parquet"]).to_pandas()
        assert ids(answer) == table[table["user_id"] == str(USER)]["item_id"].tolist()
        anew = world.recommend(USER, mode="realtime", k=5)
        assert len(set(ids(anew)) & set(ids(answer))) >= 4

    def test_mode_auto_is_batch_until_the_user_has_events(self, world, listed):
        """Then hybrid, then real time. A click counts at once in every mode."""
        assert world.recommend(7)["mode"] == "batch"
        shown = ids(world.recommend(7))
        world.click(7, shown[0])
        after = world.recommend(7)
        assert after["mode"] == "hybrid"
        assert shown[0] not in ids(after)
        world.click(7, *shown[1:5])
        assert world.recommend(7)["mode"] == "realtime"

    def test_filters_apply_to_a_list(self, world, listed):
        """Excluded items, seen items and items of other categories are left out. A list that is too short then is not
        used.
        """
        answer = world.recommend(10, mode="batch", k=20)
        again = world.recommend(10, mode="batch", k=20, exclude=ids(answer)[:3], filter={"categories": ["drama"]})
        assert not set(ids(answer)[:3]) & set(ids(again))
        assert len(ids(again)) == 20
        assert (answer["mode"], again["mode"]) == ("batch", "batch")
        more = world.recommend(10, mode="batch", k=tiny.PER_CATEGORY + 1, filter={"categories": ["drama"]})
        assert more["mode"] == "realtime"
        assert all(item.startswith("drama") for item in ids(more))
        assert set(ids(again)) < set(ids(more))
        assert all(item.startswith("drama") for item in ids(again))

    def test_refresh_makes_lists_of_users_with_new_events_and_finds_trends(self, world, listed):
        """It makes no other list, and the new list takes the events into account.

        An item that several users click is a candidate of every user, and the explanation names the source.
        """
        world.flow("refresh")
        world.click(11, "action-1", "action-2")
        assert world.recommend(11)["mode"] == "hybrid"
        for user in range(30, 40):
            world.click(f"fan-{user}", "drama-24")
        done = world.flow("refresh")
        assert done["lists"] == 1 + 10
        assert done["trending"] >= 1
        answer = world.recommend(11)
        assert answer["mode"] == "batch"
        assert not {"action-1", "action-2"} & set(ids(answer))
        time.sleep(6)
        answer = world.client.post("/explain", json={"user_id": "fan of action", "item_id": "drama-24"}).json()
        assert "trending" in answer["sources"]


class TestRules:
    def test_each_rule_and_a_broken_edit(self, world):
        """A cap, a boost, a pin and diversity, read while the deployment runs. A wrong file changes nothing and is in
        /status.
        """
        world.rules('[[cap]]\ncolumn = "categories"\nat_most = 4\n[[pin]]\nitem = "drama-20"\nplace = 2\n')
        answer = world.recommend("ruled", k=12, mode="realtime")
        assert ids(answer)[1] == "drama-20"
        assert answer["items"][1]["rules"] == ["pin"]
        for category in tiny.CATEGORIES:
            assert sum(item.startswith(category) for item in ids(answer)) == 4
        world.deployment.rules.write_text("[[cap]]\ncolumn = 3\n")
        wait_for(lambda: any("cap.0.column" in line for line in world.client.get("/status").json()["rules"]))
        assert world.recommend("ruled", k=12, mode="realtime")["items"][1]["rules"] == ["pin"]
        world.rules('[[boost]]\nwhere = { categories = "action" }\nby = 9\n')
        assert all(item.startswith("action") for item in ids(world.recommend("ruled", k=12, mode="realtime")))
        world.rules('[[bury]]\nwhere = { categories = "action" }\nby = 9\n[diversity]\nweight = 0.5\n')
        assert not any(item.startswith("action") for item in ids(world.recommend("ruled", k=12, mode="realtime")))
        world.rules(
            '[[quota]]\nnew_within_days = 3650\nat_least = 3\nwithin = 5\n[[cap]]\ncolumn = "actor"\nat_most = 1\n'
            '[[boost]]\nitems = ["opera-1"]\nby = 1.0\n'
        )
        cap, boost, *_ = world.client.get("/status").json()["rules"]
        assert cap.startswith("cap: this generation has no categorical column 'actor'")
        assert boost.startswith("boost: no item of this generation, nor any put since, is 'opera-1'")
        for sentence in (cap, boost):
            assert world.deployment.log.read_text().count(f"A rule has no effect. {sentence}") == 1
        world.rules("exclude_seen = false\n")
        shown = ids(world.recommend(12, mode="batch"))[0]
        world.click(12, shown)
        assert shown in ids(world.recommend(12, mode="batch"))
        world.deployment.rules.unlink()
        wait_for(lambda: shown not in ids(world.recommend(12, mode="batch")))

    def test_a_cap_is_explained(self, world):
        """The explanation of an item that the cap keeps out names the cap."""
        best = ids(world.recommend("capped", mode="realtime"))
        world.rules('[[cap]]\ncolumn = "categories"\nat_most = 1\n')
        categories = [item.partition("-")[0] for item in best]
        out, first = next((best[at], each) for at, each in enumerate(categories) if each in categories[:at])
        answer = world.client.post(
            "/explain", json={"user_id": "capped", "item_id": out, "mode": "realtime", "k": 10}
        ).json()
        assert (answer["dropped_by"], answer["place"]) == ("rules", None)
        assert f"cap categories={first}" in answer["reason"]
        world.rules("")

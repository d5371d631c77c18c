"""An experiment from its definition to its report, over a real deployment: slates, arms, clicks, and a deleted user."""

import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from recsys.store import RedisGenerationStore
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.deployment_with_flows import DeploymentWithFlows

USERS = [f"visitor-{number}" for number in range(10, 50)]
LOOK = """
name = "look"
[arms.short]
share = 0.5
candidates = 20
"""


@pytest.fixture(scope="module")
def world(tiny_world, own_valkey_url, prefect_url, tmp_path_factory):
    """A deployment that logs every slate."""
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    tiny.publish(tiny_world[0], RedisGenerationStore(own_valkey_url))
    home = tmp_path_factory.mktemp("reports")
    more = {"TANDEM_TOPOLOGY": "inline", "TANDEM_IMPRESSIONS_PER_SECOND": "1000"}
    with Deployment(home, home / "service.log", REDIS_URL=own_valkey_url, **more) as running:
        yield DeploymentWithFlows(home, own_valkey_url, running, prefect_url)


def test_a_report_has_the_served_arms_and_no_deleted_user(world):
    """The users, slates and clicks of each group are those that were served; a deleted user leaves them."""
    (world.home / "look.toml").write_text(LOOK)
    world.flow("experiment", "create", str(world.home / "look.toml"))
    world.flow("experiment", "start", "look")
    since = world.flow("experiment", "ramp", "look", "100")["changes"][-1]["at"]
    deadline = time.time() + 10
    while world.recommend("first")["arms"].keys() != {"look"} and time.time() < deadline:
        time.sleep(0.2)
    arms = {}
    for user in USERS:
        answer = world.recommend(user)
        arms[user] = answer["arms"]["look"]
        world.recommend(user, mode="batch")
        if arms[user] == "short":
            world.click(user, answer["items"][0]["item_id"])
    time.sleep(4.5)
    drained = world.flow("drain", "--wait", "2")
    assert (drained["damaged"], drained["waiting"]) == (0, 0)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since + 1))
    report = world.flow("experiment", "report", "look", "--since", at)
    groups = report["reading"]["segments"]["all"]["groups"]
    for group in ("control", "short"):
        users = [user for user in USERS if arms[user] == group]
        assert abs(groups[group]["users"] - len(users)) <= 1  # and "first"
        assert groups[group]["slates"] >= 2 * len(users)
        assert (groups[group]["counts"]["click"] >= len(users)) == (group == "short")
    assert report["words"] == {"short": "too few users"}

    gone = USERS[0]
    world.client.delete(f"/users/{gone}").raise_for_status()
    assert world.flow("drain", "--wait", "0")["deleted"] > 0
    after = world.flow("experiment", "report", "look", "--since", at)
    left = after["reading"]["segments"]["all"]["groups"][arms[gone]]
    assert left["users"] == groups[arms[gone]]["users"] - 1
    assert len(pq.read_table(after["rows"])) == len(USERS)
    for file in (world.home / "flows").rglob("*.parquet"):
        assert gone.encode() not in Path(file).read_bytes()
    assert b"visitor" not in Path(after["rows"]).read_bytes()
    assert "visitor" not in Path(after["page"]).read_text()

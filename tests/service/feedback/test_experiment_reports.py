"""An experiment from its definition to its report, over a real deployment: slates, arms, clicks, and a deleted user."""

import time
from pathlib import Path

import pyarrow.parquet as pq

from tests.servers.deployment import wait_for

USERS = [f"visitor-{number}" for number in range(10, 50)]
LOOK = """
name = "look"
[arms.short]
share = 0.5
candidates = 20
"""


def test_a_report_has_the_served_arms_and_no_deleted_user(inline):
    """The users, slates and clicks of each group are those that were served; a deleted user leaves them."""
    (inline.home / "look.toml").write_text(LOOK)
    inline.flow("experiment", "create", str(inline.home / "look.toml"))
    inline.flow("experiment", "start", "look")
    since = inline.flow("experiment", "ramp", "look", "100")["changes"][-1]["at"]
    wait_for(lambda: time.time() > since + 1 and inline.recommend("first")["arms"].keys() == {"look"})
    arms = {}
    for user in USERS:
        answer = inline.recommend(user)
        arms[user] = answer["arms"]["look"]
        inline.recommend(user, mode="batch")
        if arms[user] == "short":
            inline.click(user, answer["items"][0]["item_id"])
    time.sleep(4.5)
    drained = inline.flow("drain", "--wait", "2")
    assert (drained["damaged"], drained["waiting"]) == (0, 0)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since + 1))
    report = inline.flow("experiment", "report", "look", "--since", at)
    groups = report["reading"]["segments"]["all"]["groups"]
    for group in ("control", "short"):
        users = [user for user in USERS if arms[user] == group]
        assert abs(groups[group]["users"] - len(users)) <= 1  # and "first"
        assert groups[group]["slates"] >= 2 * len(users)
        assert (groups[group]["counts"]["click"] >= len(users)) == (group == "short")
    assert report["words"] == {"short": "too few users"}

    gone = USERS[0]
    inline.client.delete(f"/users/{gone}").raise_for_status()
    assert inline.flow("drain", "--wait", "0")["deleted"] > 0
    after = inline.flow("experiment", "report", "look", "--since", at)
    left = after["reading"]["segments"]["all"]["groups"][arms[gone]]
    assert left["users"] == groups[arms[gone]]["users"] - 1
    assert len(pq.read_table(after["rows"])) == len(USERS)
    for file in (inline.home / "flows").rglob("*.parquet"):
        assert gone.encode() not in Path(file).read_bytes()
    assert b"visitor" not in Path(after["rows"]).read_bytes()
    assert "visitor" not in Path(after["page"]).read_text()

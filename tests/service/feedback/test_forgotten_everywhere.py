"""After `DELETE /users/{id}` and one run of `flows drain` no byte of the user's id is in the store or in a file."""

import re
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.sample_data import tiny
from tests.servers.deployment import wait_for

USER, OTHER = "zq7-a-user-like-no-other-0451", "another-user"


@pytest.fixture
def shop(inline):
    """A deployment that logs all slates."""
    with inline.server.client() as inline.store:
        yield inline


def stored(client):
    """The keys of the store that hold the id."""
    return [key for key in client.keys("*") if USER.encode() in key or USER.encode() in (client.dump(key) or b"")]


def files(home):
    """The files that hold the id, as bytes or as a value of a Parquet column."""
    return {path for path in home.rglob("*") if path.is_file() and USER.encode() in content(path)}


def content(path):
    if path.suffix != ".parquet":
        return path.read_bytes()
    return path.read_bytes() + str(pq.read_table(path, partitioning=None).to_pylist()).encode()


def places(home):
    """The folders below the flows' home that hold the id."""
    return {path.relative_to(home / "flows").parts[0] for path in files(home / "flows")}


def test_nothing_of_a_deleted_user_is_left(shop, tmp_path):
    """Store, events, impressions, lists, reports, quarantine and generations; a later publish brings nothing back."""
    data = tiny.write(tmp_path / "data")
    log = pd.read_csv(data / "interactions.csv", dtype=str)
    own = log[log["user_id"] == "1"].assign(user_id=USER)
    later = own.head(1).assign(timestamp=str(time.time() + 1e7))  # goes to the quarantine
    pd.concat([log, own, later, own.assign(user_id=OTHER)]).to_csv(data / "interactions.csv", index=False)
    quick = "--config", "small", "--set", "tower.epochs=1", "--set", "ranker.epochs=1", "--force"
    made = shop.flow("run", "--data", str(data), *quick)
    wait_for(lambda: shop.recommend(OTHER)["generation"] == made["generation"])
    for user in (USER, OTHER):
        shop.recommend(user, mode="realtime")
        shop.click(user, "action-1", "drama-1")
    page = shop.home / "flows" / "reports" / f"{made['generation']}.html"
    page.write_text(re.sub(r"<b>User .*?</b>", f"<b>User {USER}</b>", page.read_text(), count=1))
    shop.flow("batch")
    wait_for(lambda: shop.store.xlen("impressions") >= 2)
    assert shop.flow("drain", "--wait", "0")["events"]["events"] == 4
    everywhere = {"events", "generations", "impressions", "lists", "quarantine", "reports"}
    assert places(shop.home) == everywhere
    assert stored(shop.store)

    shop.client.delete(f"/users/{USER}").raise_for_status()
    time.sleep(8)  # other processes of the gateway may log a slate until then
    assert shop.flow("drain", "--wait", "0")["deleted"] > 5
    assert places(shop.home) == set()
    assert stored(shop.store) == []
    assert any(OTHER.encode() in content(path) for path in (shop.home / "flows" / "lists").rglob("*.parquet"))

    shop.flow("publish", made["generation"])
    assert stored(shop.store) == []

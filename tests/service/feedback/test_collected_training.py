"""What users did today is in the generation that the next training makes: from `/events` over `drain` and `run`."""

import time

import pytest

from tests.sample_data import tiny
from tests.servers.deployment import wait_for

HIT, FAN, FANS = "comedy-3", "0", 240
"""An item that becomes popular today, a user of action films, and how many users take the item."""


@pytest.fixture
def shop(inline_deployment, tiny_shop, tmp_path):
    """A shop whose log ends three weeks ago, with collected events, behind a deployment."""
    return inline_deployment.renew(tmp_path, tiny_shop[0])


def ids(answer):
    """The items of a slate."""
    return [item["item_id"] for item in answer["items"]]


def test_todays_popularity_and_taste_are_in_the_next_generation(shop, tmp_path):
    """An item that few took before is popular; the record of a user with one category has the other one."""
    data = tiny.write_shop(tmp_path / "data", time.time() - 21 * 86_400)
    mapping = data / "dataset.toml"
    mapping.write_text(mapping.read_text().replace('"tiny"', '"shop"') + "[collected]\nevents = true\n")
    before = shop.recommend(FAN, mode="batch")
    assert sum(item.startswith("drama") for item in ids(before)) <= 2
    assert HIT not in ids(shop.recommend(None, mode="batch"))
    for user in range(FANS):
        assert shop.click(f"fan-{user}", HIT, event_type="view")["stored"] == 1
    shop.click(FAN, *(f"drama-{n}" for n in range(20)), event_type="view", context={"device": "mobile"})
    assert shop.flow("drain")["events"]["events"] == FANS + 20
    result = shop.flow("run", "--data", str(data), "--config", "small", "--set", "tower.epochs=4", "--force")
    assert result["collected"]["rows"] == FANS + 20
    wait_for(lambda: shop.recommend(None)["generation"] == result["generation"])
    after = shop.client.get(f"/users/{FAN}").json()
    assert {item["item_id"] for item in after["history"]} >= {f"drama-{n}" for n in range(20)}
    assert sum(item.startswith("drama") for item in ids(shop.recommend(FAN, mode="batch"))) >= 5
    assert HIT in ids(shop.recommend(None, mode="batch"))

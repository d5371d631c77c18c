"""The records that runs of flows by hand leave in the store, and the command that prints them."""

import json

import pytest
import redis

from flows.__main__ import main
from flows.drain import drain
from flows.lists import batch, item_lists, refresh
from recsys.errors import NoGeneration, StoreUnavailable
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.run_record import RunFigures


@pytest.fixture
def runs(shop):
    store = RedisRunStore(shop.url)
    yield store
    store.close()


def test_a_completed_and_a_failed_run_leave_a_record(shop, runs, capsys):
    """The record has the deployment, the times, the state and the rows. A failed run has no rows."""
    made = batch().lists
    shop.click("7", "drama-1")
    refresh()
    with redis.Redis.from_url(shop.url) as client:
        client.delete("alias:live")
    with pytest.raises(NoGeneration):
        item_lists()

    [record] = runs.read()["batch"]
    assert (record.deployment, record.state) == ("command", "completed")
    assert record.figures == RunFigures(rows_out=made, generation=shop.live)
    assert made > 1
    assert 0 < record.end - record.start < 60
    capsys.readouterr()
    assert main(["runs", "--json"]) == 0
    printed = {each["flow"]: each for each in json.loads(capsys.readouterr().out)["runs"]}
    assert printed["refresh"]["figures"]["rows_out"] == 1
    assert (printed["item-lists"]["state"], printed["item-lists"]["figures"]["rows_out"]) == ("failed", None)
    assert main(["runs"]) == 0
    assert "item-lists" in capsys.readouterr().out


def test_a_store_that_is_away_costs_the_record_and_changes_no_error(shop, monkeypatch, caplog):
    """The run fails with the sentence of the store; the hooks log one line each, without a traceback."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match="Start one"):
        drain()
    lines = [record for record in caplog.records if "leaves no record" in record.getMessage()]
    assert len(lines) == 2
    assert not any(line.exc_info for line in lines)

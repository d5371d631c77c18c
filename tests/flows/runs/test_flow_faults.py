"""Faults of real runs of flows, with promises of seconds: each fires its alert and no other."""

import re
import time

import psutil
import pytest

from flows.drain import drain
from flows.lists import batch
from recsys.store import RedisUserStore
from recsys.store.redis.run_store import RedisRunStore
from recsys.store.run_record import CRASHED, MEDIAN_OF, RUNNING
from tests.flows.runs.flow_alert_check import check_alerts
from tests.sample_data import tiny
from tests.servers.prometheus import FLOW_ALERTS, program

LONG = 3_600.0
SECONDS = 120.0
"""The limit of a wait."""


@pytest.fixture
def runs(shop):
    """The records of a `drain`, and of as many runs of `batch` as a median needs."""
    program("promtool")
    drain()
    for _ in range(MEDIAN_OF):
        batch()
    store = RedisRunStore(shop.url)
    yield store
    store.close()


def check(runs, folder, expected, least=LONG, **promised):
    """Check the alerts now. least: seconds below which no run is slow. promised: ages of successes, by flow."""
    rules = folder / "rules.yaml"
    text = FLOW_ALERTS.read_text()
    for flow, seconds in ({"batch": LONG, "drain": LONG} | promised).items():
        text, changed = re.subn(rf'(flow="{flow}"}}\)) > \d+', rf"\1 > {seconds}", text)
        assert changed == 1
    rules.write_text(text.replace("> 60.0", f"> {least}"))
    check_alerts(rules, runs.read(), time.time(), expected, folder)


def test_faults_of_flows_fire_their_alerts(shop, runs, tmp_path):
    """A late flow, lists that nothing makes, a batch that hangs, and a batch of 60 % of the users."""
    check(runs, tmp_path, [])
    time.sleep(1.5)
    check(runs, tmp_path, ["TandemFlowLate drain"], drain=1)
    check(runs, tmp_path, ["TandemListsOld batch"], batch=1)

    process = shop.command("batch")
    try:
        wait(lambda: runs.read()["batch"][0].state == RUNNING)
        [flow] = psutil.Process(process.pid).children()
        flow.suspend()
        usual = max(record.seconds(0) for record in runs.read()["batch"][1:])
        hung = runs.read()["batch"][0]
        assert hung.state == RUNNING
        wait(lambda: hung.seconds(time.time()) > 3 * usual + 1)
        check(runs, tmp_path, ["TandemFlowSlow batch"], least=0.0)
        process.terminate()
        flow.resume()
        process.communicate(timeout=SECONDS)
        assert runs.find("batch", hung.run).state == CRASHED
        check(runs, tmp_path, [], least=usual * 2)
    finally:
        process.kill()

    shop.with_users(lambda users: forget(users, tiny.USERS * 2 // 5))
    assert batch().lists == tiny.USERS - tiny.USERS * 2 // 5
    check(runs, tmp_path, ["TandemFlowRowsFell batch out"])


async def forget(users: RedisUserStore, count):
    """Delete the first users, one after the other: at once they would wait longer for a connection than they may."""
    for user in range(count):
        await users.forget_user(str(user))


def wait(found):
    """Wait until `found` returns something true."""
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)

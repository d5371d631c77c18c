"""What the log has of a Redis that is stopped under load."""

import re
import time
from collections import Counter

import httpx

from tests.chaos.faults import is_whole
from tests.chaos.served import Served
from tests.servers.deployment import descendants

AWAY_SECONDS, BACK_SECONDS = 6, 60


def of_redis(world):
    """The lines of the log that name Redis, without their time."""
    lines = [line for line in world.deployment.log.read_text().splitlines() if "redis" in line.lower()]
    return [re.sub(r"^\S+ ", "", line) for line in lines]


def use_everything(world):
    """Every verb that needs Redis, one after the other; none may fail with a traceback."""
    url = world.deployment.url
    told = [httpx.post(f"{url}/events", json={"events": [{"user_id": 1, "item_id": "drama-1"}]}, timeout=10)]
    told += [httpx.put(f"{url}/items", json={"items": [{"item_id": "drama-1", "available": True}]}, timeout=10)]
    told += [httpx.get(f"{url}/users/1", timeout=10), httpx.delete(f"{url}/users/nobody", timeout=10)]
    told += [httpx.post(f"{url}/similar", json={"item_id": "drama-1", "user_id": 1}, timeout=10)]
    told += [httpx.post(f"{url}/explain", json={"item_id": "drama-1", "user_id": 1}, timeout=10)]
    assert {answer.status_code for answer in told} <= {200, 503}


def test_a_stopped_redis_is_two_lines_of_each_process(pair, tmp_path):
    """One when it goes away, with the reason; one when it is back, with its seconds and the answers made without it."""
    with Served(tmp_path, pair) as world:
        before, processes = of_redis(world), descendants(world.deployment.process.pid)
        with world.load() as load:
            time.sleep(1)
            world.server.kill()
            end = time.monotonic() + AWAY_SECONDS
            while time.monotonic() < end:
                use_everything(world)
                time.sleep(0.5)
            world.server.start()
            assert load.wait(is_whole, 20) is not None
            end = time.monotonic() + BACK_SECONDS
            while sum("Redis is back" in line for line in of_redis(world)) < 3 and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(3)
        lines = [line for line in of_redis(world) if line not in before]
        assert descendants(world.deployment.process.pid) == processes, "no process died, and none came"
        assert len(lines) == 6, lines
        for words in ("Redis is away: ", "Redis is back after "):
            told = [line for line in lines if words in line]
            assert Counter(re.search(r"gateway|retrieval|ranking", line.lower())[0] for line in told) == {
                "gateway": 1,
                "retrieval": 1,
                "ranking": 1,
            }
        degraded = sum("store" in answer.degraded for answer in load.answers)
        (back,) = (line for line in lines if "answers went without it" in line)
        found = re.search(r"after ([\d.]+) s\. ([\d,]+) answers", back)
        assert AWAY_SECONDS - 1 < float(found[1]) < AWAY_SECONDS + 10
        assert int(found[2].replace(",", "")) >= degraded > 0

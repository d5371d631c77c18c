"""Tests a running service under faults of Redis and models: no request fails, no answer mixes two generations.

A generation is one trained set of models and tables. `make chaos` injects all faults, for longer and with tighter
limits, and prints the table.
"""

import re
import time
from collections import Counter

import httpx

from tests.chaos.faults import generation_faults, store_faults
from tests.servers.deployment import descendants

PARTS = ("embeddings.npy", "ranker.safetensors", "ids.data.npy")
"""A part that each of retrieval, ranking and the gateway reads."""

RECOVERY_SECONDS = 20.0
"""Other tests run on the same cores."""

AWAY_SECONDS = 6


def test_swaps_mix_no_two_generations(served):
    """Items, scores and tower scores of every answer are those of the generation that it names."""
    outcome = generation_faults.swaps(served, 6)
    assert outcome.passed, outcome


def test_a_flipped_bit_is_refused_while_the_old_generation_is_served(served):
    """A bit of a part of retrieval, of ranking and of the gateway; `make chaos` flips one of every part."""
    for outcome in generation_faults.damaged_parts(served, PARTS):
        assert outcome.passed, outcome


def test_a_store_that_hangs_costs_the_history_alone(served):
    """Answers arrive in time and list the store as degraded; they are whole when it is back."""
    outcome = store_faults.store_hangs(served, 3, RECOVERY_SECONDS)
    assert outcome.passed, outcome


def test_a_store_that_comes_back_empty_is_reported(served):
    """Answers list the store as degraded until a generation is published."""
    outcome = store_faults.store_emptied(served, RECOVERY_SECONDS)
    assert outcome.passed, outcome


def test_a_full_store_refuses_events_and_slates_are_whole(served):
    """The sender of an event gets an error with the cause."""
    outcome = store_faults.store_full(served, RECOVERY_SECONDS)
    assert outcome.passed, outcome


def redis_lines(served):
    """The lines of the log that name Redis, without their time."""
    lines = [line for line in served.deployment.log.read_text().splitlines() if "redis" in line.lower()]
    return [re.sub(r"^\S+ ", "", line) for line in lines]


def wait_until_back(served):
    """Wait until each process that logged an outage has logged its end."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        text = "".join(redis_lines(served))
        if text.count("Redis is away: ") == text.count("Redis is back after "):
            return
        time.sleep(0.1)


def call_every_verb(url):
    """Call each endpoint that uses Redis; none may fail with a traceback."""
    body = {"item_id": "drama-1", "user_id": 1}
    answers = [httpx.post(f"{url}/events", json={"events": [body]}, timeout=10)]
    answers += [httpx.put(f"{url}/items", json={"items": [{"item_id": "drama-1", "available": True}]}, timeout=10)]
    answers += [httpx.get(f"{url}/users/1", timeout=10), httpx.delete(f"{url}/users/nobody", timeout=10)]
    answers += [httpx.post(f"{url}/{verb}", json=body, timeout=10) for verb in ("similar", "explain")]
    assert {answer.status_code for answer in answers} <= {200, 503}


def test_an_outage_is_two_log_lines_of_each_process(served):
    """One line has the reason; one has the length of the outage and the number of answers without Redis."""
    wait_until_back(served)
    earlier, processes = len(redis_lines(served)), descendants(served.deployment.process.pid)
    with served.load() as load:
        time.sleep(1)
        served.server.kill()
        end = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < end:
            call_every_verb(served.deployment.url)
            time.sleep(0.5)
        served.server.start()
        assert load.wait(lambda answer: answer.whole, 20) is not None
        wait_until_back(served)
        time.sleep(3)
    lines = redis_lines(served)[earlier:]
    assert descendants(served.deployment.process.pid) == processes, "no process ended, and none started"
    assert len(lines) == 6, "\n".join(lines)
    for words in ("Redis is away: ", "Redis is back after "):
        roles = Counter(re.search(r"gateway|retrieval|ranking", line.lower())[0] for line in lines if words in line)
        assert roles == {"gateway": 1, "retrieval": 1, "ranking": 1}
    degraded = sum("store" in answer.degraded for answer in load.answers)
    (back,) = (line for line in lines if "answers went without it" in line)
    found = re.search(r"after ([\d.]+) s\. ([\d,]+) answers", back)
    assert AWAY_SECONDS - 1 < float(found[1]) < AWAY_SECONDS + 10
    assert int(found[2].replace(",", "")) >= degraded > 0

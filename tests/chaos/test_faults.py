"""Tests a running service under faults of Redis and models: no request fails, no answer mixes two generations.

A generation is one trained set of models and tables. `make chaos` injects all faults, for longer and with tighter
limits, and prints the table. The tests share one deployment, which a later test stops and starts again.
"""

import re
import time
from collections import Counter

import httpx

from service.verbs.impressions import STEP_SECONDS
from tests.chaos.faults import generation_faults, store_faults
from tests.chaos.faults.drain import Drains
from tests.judged_load.expected_slates import UNCOUNTED_AGE
from tests.judged_load.outcome import Limits, judge
from tests.judged_load.ramp_under_load import RampUnderLoad
from tests.servers.deployment import descendants

RECOVERY_SECONDS = 20.0
"""Other tests run on the same cores."""

AWAY_SECONDS = 6


def test_swaps_mix_no_two_generations(served):
    """Items, scores and tower scores of every answer are those of the generation that it names."""
    outcome = generation_faults.swaps(served, 6)
    assert outcome.passed, outcome


def test_a_store_that_hangs_costs_the_history_alone(served):
    """Answers arrive in time and list the store as degraded; they are whole when it is back."""
    outcome = store_faults.store_hangs(served, 3, RECOVERY_SECONDS)
    assert outcome.passed, outcome


def test_a_ramp_and_its_rollback_are_seen_by_the_right_users_alone(served):
    """Of an experiment. Users with a list get the list of their arm, and each slate is of its arm's generation."""
    figures = RampUnderLoad(served).run((0.0, 0.5, 1.0, 0.0), seconds=4.0, rate=30.0)
    assert (figures.failed, figures.mixed, figures.wrong_arm, figures.away) == (0, 0, 0, 0), figures
    assert figures.from_lists > figures.requests / 4
    assert figures.of_arm > figures.requests / 5


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
    event = body | {"timestamp": time.time() - UNCOUNTED_AGE}
    answers = [httpx.post(f"{url}/events", json={"events": [event]}, timeout=10)]
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


def test_a_stop_loses_no_accepted_request(served):
    """HTTP and gRPC: not ready first, every accepted request is answered, every slate is logged, the end is in time.

    `make chaos` stops a deployment twenty times.
    """
    time.sleep(3 * STEP_SECONDS)  # until the slates of other tests are logged
    drains = Drains()
    drains.add(served, 2.0, 0.5, rate=10)
    for outcome in drains.outcomes(served):
        assert outcome.passed, outcome
        assert outcome.requests > 20


def test_a_restart_without_redis_serves_the_last_generation(served, pair):
    """Slates are degraded by the store alone, and whole soon after Redis is back."""
    served.deployment.stop()
    served.server.kill()
    served.deployment = served.deploy()
    served.deployment.start()
    served.deployment.wait_until_ready()
    with served.load() as load:
        assert "Serving a generation of this host" in served.deployment.log.read_text()
        status = served.status()
        assert status["generation"] == pair.first.manifest.id
        assert "No Redis answers" in status["store"]
        time.sleep(1)
        assert {name for answer in load.answers for name in answer.degraded} == {"store"}
        served.server.start()
        recovery = load.wait(lambda answer: answer.whole, 20)
    outcome = judge("restart without the store", load.answers, pair.expected, Limits(20), recovery=recovery)
    assert outcome.passed, outcome

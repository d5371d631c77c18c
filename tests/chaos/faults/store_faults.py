"""Redis faults for chaos tests: it hangs, is killed, loads its data, or comes back empty or full under load."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import numpy as np

from tests.judged_load.expected_slates import UNCOUNTED_AGE
from tests.judged_load.http_load import HttpLoad
from tests.judged_load.outcome import Limits, Outcome, judge, missing_stages
from tests.judged_load.served_pair import ServedPair

RECOVERY_SECONDS = 2.0
"""From the end of the fault to the first whole answer, at most."""


def store_hangs(world: ServedPair, seconds: float = 5.0, recovery_s: float = RECOVERY_SECONDS) -> Outcome:
    """SIGSTOP: the store accepts connections and answers nothing."""
    name = f"store hangs for {seconds:.0f} s"
    return _unreachable(world, name, world.server.pause, world.server.resume, seconds, recovery_s)


def store_gone(world: ServedPair, seconds: float = 60.0, where: str = "") -> Outcome:
    """The store is killed, and starts again with its data. where: a suffix of the fault's name."""
    server = world.server
    name = f"store gone for {seconds:.0f} s{where}"
    return _unreachable(world, name, server.kill, lambda: server.start(wait=False), seconds)


def store_loads(world: ServedPair, mib: int = 400) -> Outcome:
    """The store is killed, and answers -LOADING for a while after its start."""
    keys = [f"ballast:{number}" for number in range(mib)]
    with world.server.client() as client:
        for number, key in enumerate(keys):
            client.set(key, np.random.default_rng(number).bytes(1 << 20))
    try:
        return _unreachable(world, f"store restarts and loads {mib} MiB", world.server.kill, world.server.start, 0.2)
    finally:
        with world.server.client() as client:
            client.unlink(*keys)


def _unreachable(
    world: ServedPair,
    name: str,
    begin: Callable[[], object],
    end: Callable[[], object],
    seconds: float,
    recovery_s: float = RECOVERY_SECONDS,
) -> Outcome:
    """Requests are answered without the store, and are whole soon after it is back."""
    wrong = []
    with world.load() as load:
        time.sleep(1)
        begin()
        began = time.time()
        time.sleep(seconds)
        end()
        recovery = load.wait(lambda answer: answer.whole, 30)
        time.sleep(1)
    silent = [each for each in load.answers if began + 0.5 < each.due < began + seconds - 0.5 and not each.degraded]
    if silent:
        wrong.append(f"{len(silent)} answers did not list the store as degraded")
    wrong += missing_stages(load.answers, "store")
    world.settle()
    return judge(name, load.answers, world.expected, Limits(recovery_s), recovery=recovery, wrong=wrong)


def store_emptied(world: ServedPair, recovery_s: float = RECOVERY_SECONDS) -> Outcome:
    """The store comes back empty; then a generation is published again."""
    with world.load() as load:
        time.sleep(1)
        world.server.kill()
        world.server.forget()
        world.server.start()
        missed = load.wait(lambda answer: "store" in answer.degraded, 10)
        time.sleep(3)
        silent = any("store" not in each.degraded for each in load.answers[-20:])
        recovery = _publish_again(world, load)
    name = "store restarts empty, and is published to"
    return _lost_records(world, load, name, missed is None or silent, recovery, recovery_s)


def store_evicts(world: ServedPair) -> Outcome:
    """The store evicts keys (allkeys-lru) until none of the generation is left; then it is published again."""
    with world.server.client() as client, world.load() as load:
        time.sleep(1)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + (1 << 20))
        for number in range(4_000):
            client.set(f"ballast:{number}", bytes(10_000))
            if number % 100 == 0 and not client.exists(f"gen:{world.pair.first.manifest.id}:users:0", "alias:live"):
                break
        missed = load.wait(lambda answer: "store" in answer.degraded, 10)
        time.sleep(1)
        client.config_set("maxmemory", "0")
        client.flushall()
        recovery = _publish_again(world, load)
    return _lost_records(world, load, "store full, allkeys-lru", missed is None, recovery, RECOVERY_SECONDS)


def _publish_again(world: ServedPair, load: HttpLoad) -> float | None:
    world.put(world.pair.first)
    world.store.promote(world.pair.first.manifest.id)
    return load.wait(lambda answer: answer.whole, 30)


def _lost_records(
    world: ServedPair, load: HttpLoad, name: str, silent: bool, recovery: float | None, recovery_s: float
) -> Outcome:
    """Judge a store that lost the users' records. silent: answers did not list the store as degraded."""
    wrong = ["answers did not list the store as degraded"] if silent else []
    wrong += missing_stages(load.answers, "store")
    world.settle()
    return judge(name, load.answers, world.expected, Limits(recovery_s), recovery=recovery, wrong=wrong)


def store_full(world: ServedPair, recovery_s: float = RECOVERY_SECONDS) -> Outcome:
    """The store accepts no write (noeviction): slates are whole, and POST /events returns an error with the cause."""
    event = {"user_id": "someone else", "item_id": "action-1", "timestamp": time.time() - UNCOUNTED_AGE}
    with world.server.client() as client, world.load() as load:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        time.sleep(2)
        refused = httpx.post(f"{world.deployment.url}/events", json={"events": [event]}, timeout=10)
        client.config_set("maxmemory", "0")
        recovery = load.wait(lambda answer: answer.whole, 10)
        stored = httpx.post(f"{world.deployment.url}/events", json={"events": [event]}, timeout=10)
    wrong = [] if refused.status_code == 503 and refused.json()["error"]["code"] == "store" else [refused.text]
    wrong += [] if stored.status_code == 200 else [stored.text]
    world.settle()
    note = refused.json().get("error", {}).get("message", "")
    limits = Limits(recovery_s, degraded=False)
    name = "store full, noeviction"
    return judge(name, load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)

"""Failover of the store for chaos tests: its primary dies or hangs under load, and a replica takes its place.

Events are sent meanwhile as a careful client does: the client repeats an event until the event is acknowledged.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from recsys.store.key_names import EVENT_LOG
from tests.chaos.replication.replicated_store import MAX_LAG_SECONDS, ReplicatedStore, wait_for
from tests.judged_load.expected_slates import UNCOUNTED_AGE
from tests.judged_load.grpc_load import GrpcLoad
from tests.judged_load.http_load import HttpLoad
from tests.judged_load.outcome import Limits, Outcome, judge, missing_stages
from tests.judged_load.served_pair import USERS, GenerationPair, ServedPair
from tests.servers.store_server import StoreServer

RECOVERY_SECONDS = 10.0
"""From the death of the primary to the first whole answer and to the first acknowledged event, at most."""

RATE = 20.0
"""Requests a second at each door, and events a second."""

ON_THE_WAY = 0.5
"""Seconds in which acknowledgements by the lost primary still arrive."""


class EventSender:
    """Sends events with ids over HTTP while it is entered. acknowledged: unix seconds by event id."""

    def __init__(self, url: str) -> None:
        self.acknowledged: dict[str, float] = {}
        self.refused = 0
        self.wrong: list[str] = []
        self._url, self._run_id, self._stopped = url, f"{time.time():.0f}", threading.Event()
        self._thread = threading.Thread(target=self._run, name="events")

    def __enter__(self) -> EventSender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            for number in itertools.count():
                event = {
                    "user_id": f"sender-{number % 7}",
                    "item_id": "drama-1",
                    "timestamp": time.time() - UNCOUNTED_AGE,
                    "event_id": f"{self._run_id}-{number}",
                }
                while not self._send(client, event):
                    if self._stopped.wait(0.05):
                        return
                if self._stopped.wait(1 / RATE):
                    return

    def _send(self, client: httpx.Client, event: dict[str, Any]) -> bool:
        answer = client.post("/events", json={"events": [event]})
        if answer.status_code == 200:
            self.acknowledged[event["event_id"]] = time.time()
        elif answer.status_code == 503:
            self.refused += 1
        else:
            self.wrong.append(f"/events answered {answer.status_code}: {answer.text}")
        return answer.status_code == 200


def all_failovers(folder: Path, pair: GenerationPair) -> Iterator[Outcome]:
    """The primary is killed, and then the next one hangs."""
    store = ReplicatedStore(folder / "store")
    with ServedPair(folder, pair, store) as world:
        yield from primary_lost(world, store, "killed", StoreServer.kill, lambda server: server.start(wait=False))
        world.settle()
        yield from primary_lost(world, store, "hangs", StoreServer.pause, StoreServer.resume)


def primary_lost(
    world: ServedPair,
    store: ReplicatedStore,
    how: str,
    begin: Callable[[StoreServer], object],
    end: Callable[[StoreServer], object],
    recovery_s: float = RECOVERY_SECONDS,
) -> list[Outcome]:
    """Lose the primary in the moment of a promote. One outcome of HTTP, one of gRPC.

    how: for the table. begin: loses the primary. end: the former primary is back.
    """
    url, lost = world.deployment.url, store.primary()
    world.put(world.pair.second)
    loads = HttpLoad(url, USERS, RATE), GrpcLoad(world.deployment.grpc, USERS, RATE)
    with loads[0], loads[1], EventSender(url) as events:
        time.sleep(3)
        world.store.promote(world.pair.second.manifest.id)
        begin(lost)
        begun = time.time()
        wait_for(lambda: max(events.acknowledged.values(), default=0) > begun + ON_THE_WAY)
        wait_for(lambda: world.status()["generation"] == world.store.alias("live"))
        time.sleep(recovery_s)
        end(lost)
        wait_for(lambda: lost.client().info("replication")["role"] == "slave")  # the Sentinels make it a replica
        time.sleep(2)
    acknowledged = min(at for at in events.acknowledged.values() if at > begun + ON_THE_WAY) - begun
    missing, wrong = _lost(store, events, begun)
    if acknowledged > recovery_s:
        wrong.append(f"events were acknowledged after {acknowledged:.1f} s")
    note = f"{len(events.acknowledged)} events acknowledged, {missing} of them lost, {events.refused} refused; "
    note += f"acknowledged again after {acknowledged:.1f} s"
    wrong += missing_stages([*loads[0].answers, *loads[1].answers], "store")
    return [
        judge(
            *(f"failover: the primary {how}, {door}", load.answers, world.expected, Limits(recovery_s)),
            recovery=max((each.due + each.seconds for each in load.answers if each.degraded), default=begun) - begun,
            note=note,
            wrong=wrong,
        )
        for door, load in zip(("HTTP", "gRPC"), loads, strict=True)
    ]


def _lost(store: ReplicatedStore, events: EventSender, begun: float) -> tuple[int, list[str]]:
    """How many acknowledged events the new primary lacks, and what breaks the promise of replication."""
    with store.primary().client() as client:
        names = [fields[b"i"].decode() for _, fields in client.xrange(EVENT_LOG) if b"i" in fields]
    lost = {name: at for name, at in events.acknowledged.items() if name not in names}
    wrong = [*events.wrong]
    wrong += [f"{name} was lost {begun - at:.1f} s before" for name, at in lost.items() if begun - at > MAX_LAG_SECONDS]
    wrong += [
        f"{name} was acknowledged by the new primary and lost" for name, at in lost.items() if at > begun + ON_THE_WAY
    ]
    if len(names) != len(set(names)):
        wrong.append(f"{len(names) - len(set(names))} events are stored twice")
    return len(lost), wrong

"""Measures one training and one deployment of a size on this machine, for the capacity model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import redis

from loadtests.bench.costed_deployment import Deployment, K, deployed, predicted_memory
from loadtests.bench.peers.servers import PeerError
from loadtests.bench.training_growth import measured
from loadtests.bench.world import EVENTS_AN_ITEM
from loadtests.capacity.curves import Measured, Size
from loadtests.processes.usage import sample
from service.backends.wire import RANK, RANKED, RETRIEVE, RETRIEVED
from training.data.generated_log import Shape, generate

RATE, SECONDS = 100.0, 10.0
"""Slates a second of the load, and its length."""

USERS = 2_000
"""Users with a record and a list, about: more make no figure better and take minutes."""

SINGLE = 300
"""Requests, one after the other, whose bytes are counted."""

MIB = 2**20


def training(interactions: int, items: int) -> Measured:
    """CPU and memory of each step of a training."""
    growth = measured(interactions, items)
    values = {f"{step} CPU s": cost.cpu_s for step, cost in growth.steps.items()}
    values |= {f"{step} MiB": cost.mib for step, cost in growth.steps.items()}
    return Measured(Size(items, interactions, growth.users), values)


def serving(items: int) -> Measured:
    """CPU, memory and traffic of a deployment with untrained models, whose slates cost as much as those of trained
    ones; PeerError if other work on the machine delayed the load.
    """
    interactions = EVENTS_AN_ITEM * items
    with tempfile.TemporaryDirectory(prefix="tandem-capacity-") as scratch:
        generate(Shape(interactions, items), Path(scratch))
        with deployed(Path(scratch), "split", SECONDS, flows=True, users=USERS) as deployment:
            point = deployment.point("realtime", RATE)
            if point is None:
                raise PeerError(f"Other work delayed {RATE:g} slates a second over {items:,} items: measure again.")
            port = urlsplit(deployment.peer.url).port or 0
            memory = sample(deployment.peer.pid, port, 0.0).pss
            values = {"slate CPU ms": point.cpu_ms, "list CPU ms": deployment.list_cpu_ms}
            values |= {f"{role} MiB": mib for role, mib in memory.items()}
            values |= _stored(deployment) | _traffic(deployment)
            return Measured(Size(items, interactions, deployment.memory.users), values)


def _stored(deployment: Deployment) -> dict[str, float]:
    """Memory in the store. The records of users are those of the manifest, the rest is measured."""
    memory, expected = deployment.memory, predicted_memory(deployment.place)
    return {
        "generation MiB": (memory.parts_bytes - expected.records_bytes) / MIB,
        "record bytes": expected.records_bytes / expected.users,
        "list bytes": memory.list_bytes,
    }


def _traffic(deployment: Deployment) -> dict[str, float]:
    """Bytes of a slate between client and gateway, gateway and store, gateway and backends; CPU of the store."""
    url, users = f"{deployment.peer.url}/recommend", deployment.place.users
    client, before = 0, _store_counters(deployment)
    with httpx.Client() as http:
        for at in range(SINGLE):
            body = {"user_id": users[at % len(users)], "k": K, "mode": "realtime"}
            answer = http.post(url, json=body).raise_for_status()
            client += len(answer.request.content) + len(answer.content)
            client += sum(
                len(name) + len(value) for each in (answer.request, answer) for name, value in each.headers.raw
            )
    store, cpu_s = (after - first for after, first in zip(_store_counters(deployment), before, strict=True))
    return {
        "client bytes": client / SINGLE,
        "store bytes": store / SINGLE,
        "store CPU ms": 1_000 * cpu_s / SINGLE,
        "backend bytes": float(sum(row.itemsize for row in (RETRIEVE, RETRIEVED, RANK, RANKED))),
    }


def _store_counters(deployment: Deployment) -> tuple[float, float]:
    """Bytes that the store has received and sent, and its CPU seconds."""
    with redis.Redis.from_url(deployment.place.url) as client:
        info = client.info("everything")
    sent = float(info["total_net_input_bytes"]) + float(info["total_net_output_bytes"])
    return sent, float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

"""Checks of retrieval in shards against retrieval in all items, and faults under load, for `python -m tests.shards`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from pydantic import TypeAdapter

from recsys.filters.compiled_conditions import matches, packed
from recsys.filters.conditions import Condition
from recsys.generation.loader import load_retriever
from recsys.lists.user_record import UserRecord
from recsys.types import PAD, Histories
from service.backends import wire
from service.backends.client import BackendClient
from service.backends.models import RetrievalModel
from service.recommend.sharded_retrieval import ShardedRetrieval
from tests.fakes.in_process import Held
from tests.judged_load.http_load import Answer
from tests.judged_load.outcome import Limits, Outcome, judge, missing_stages
from tests.servers.deployment import Deployment, workers
from tests.shards.sharded_pair import ShardedPair

FILTERS: list[dict[str, Any]] = [
    {},
    {"price": {"gt": 20}},
    {"price": {"gte": 5, "lt": 9}},
    {"categories": ["category 7", "category 101"]},
    {"price": {"gt": 10}, "categories": [f"shelf {n}" for n in range(5)]},
]
"""Of the users in turn."""

validated = TypeAdapter(dict[str, Condition]).validate_python
BATCH = 16
MAPPED_LIMIT = 0.3
"""Of the bytes of the item tables."""

RATE = 20.0
"""Requests a second under a fault: a million items on two cores, with the load on the same cores."""

RECOVERY_SECONDS, PROMOTION_SECONDS = 60.0, 120.0


def same_candidates(world: ShardedPair) -> Outcome:
    """Compare all candidates, scores and sources, of the processes of the shards and of one retriever."""
    whole = RetrievalModel(Held(load_retriever(world.pair.first)))
    queries = _queries(world)

    async def compare() -> int:
        clients = [BackendClient(shard.url, 5.0) for shard in world.shards]
        sharded, differ = ShardedRetrieval([client.call for client in clients]), 0
        for start in range(0, len(queries), BATCH):
            rows = wire.as_bytes(queries[start : start + BATCH])
            expected = whole.retrieve(rows)
            differ += int((await sharded.retrieve(rows) != expected).any(axis=1).sum())
            differ += int((wire.as_table(expected, wire.RETRIEVED)["items"] == PAD).all(axis=1).sum())
        await asyncio.gather(*(client.close() for client in clients))
        return differ

    differ = asyncio.run(compare())
    wrong = (f"{differ} records differ or are empty",) if differ else ()
    return Outcome("candidates, bit for bit", len(queries), 0, differ, 0, None, "", wrong)


def same_slates(world: ShardedPair) -> Outcome:
    """Ask a gateway over shards and one over all items the same, at once."""
    differ = degraded = 0
    with httpx.Client(timeout=30) as client:

        def ask(url: str, number: int) -> dict[str, Any]:
            body = {"user_id": world.users[number], "k": 20, "filter": FILTERS[number % len(FILTERS)]}
            answer = client.post(f"{url}/recommend", json=body).raise_for_status().json()
            return {name: answer[name] for name in ("items", "generation", "mode", "degraded")}

        for number in range(len(world.users)):
            for _ in range(2):  # the hour, a feature, may change between two requests
                ours, theirs = (ask(each.url, number) for each in (world.deployment, world.unsharded))
                if ours == theirs:
                    break
            differ += ours != theirs
            degraded += bool(ours["degraded"] or theirs["degraded"])
    wrong = (f"{differ} slates differ, {degraded} are degraded",) if differ or degraded else ()
    return Outcome("slates over HTTP, with filters", len(world.users), 0, differ, degraded, None, "", wrong)


def mapped(world: ShardedPair) -> Outcome:
    """Compare what the processes of the shards map of the item tables with the whole."""
    files = [path for path in world.pair.first.path.glob("*.npy") if not path.name.startswith(("user", "smoke"))]
    tables = {path.name: path.stat().st_size for path in files}
    whole = sum(tables.values())
    shares = [_mapped(shard, world.pair.first.manifest.id, tables) / whole for shard in world.shards]
    all_items = _mapped(world.unsharded, world.pair.first.manifest.id, tables) / whole
    note = (
        f"{', '.join(f'{share:.1%}' for share in shares)} of {whole / 2**20:,.0f} MiB; without shards {all_items:.1%}"
    )
    wrong = (f"a shard maps more than {MAPPED_LIMIT:.0%}",) if max(shares) > MAPPED_LIMIT or not min(shares) else ()
    return Outcome("item tables that a shard maps", len(shares), 0, 0, 0, None, note, wrong)


def dead_shard(world: ShardedPair, number: int = 3) -> Outcome:
    """Kill a shard under load, and start it again."""
    name = f"retrieval-shard-{number}"
    with world.load(RATE) as load:
        time.sleep(2)
        world.kill(number)
        named = load.wait(lambda answer: answer.degraded == [name], RECOVERY_SECONDS)
        time.sleep(3)
        world.shards[number - 1].start()
        recovery = load.wait(lambda answer: answer.whole, RECOVERY_SECONDS)
        time.sleep(2)
    wrong = missing_stages([answer for answer in load.answers if answer.degraded != ["overload"]], name)
    wrong += [] if named is not None else ["no answer names the shard"]
    note = f"named after {named or 0:.2f} s; {_slowest(load.answers)}"
    limits = Limits(recovery_s=RECOVERY_SECONDS)
    return judge("a dead shard", load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)


def adopted(world: ShardedPair) -> Outcome:
    """Promote the second generation under load."""
    second = world.pair.second.manifest.id
    world.put(world.pair.second)
    with world.load(RATE) as load:
        time.sleep(2)
        world.store.promote(second)
        took = load.wait(lambda answer: answer.generation == second, PROMOTION_SECONDS)
        time.sleep(3)
    note = f"in force after {took or 0:.1f} s; {_slowest(load.answers)}"
    wrong = missing_stages(load.answers, "overload")  # of busy cores: the user's list, and no stage is away
    limits = Limits(PROMOTION_SECONDS)
    return judge("a generation is adopted", load.answers, world.expected, limits, recovery=took, note=note, wrong=wrong)


def _queries(world: ShardedPair) -> np.ndarray:
    """Records of RETRIEVE with the histories of the users, and filters."""
    folder, now = world.pair.first, time.time()
    ids, blobs = folder.users()
    rows = [ids.row_of(str(user)) or 0 for user in world.users]
    compiled = [packed(matches(validated(each), folder.spec())) for each in FILTERS]
    table = np.zeros(len(rows), wire.RETRIEVE)
    histories = Histories.empty(np.full(len(rows), now))
    for at, record in enumerate(UserRecord.unpack(blobs.bytes_at(row)) for row in rows):
        histories.put(at, record.items, record.times, record.types)
        table["filter"][at] = compiled[at % len(compiled)]
    table["generation"], table["due"], table["now"] = folder.manifest.id.encode(), now + 3_600, now
    table["history_items"], table["times"], table["types"] = histories.items, histories.times, histories.types
    table["extra"] = PAD
    return table


def _mapped(deployment: Deployment, generation: str, tables: dict[str, int]) -> int:
    """The most bytes of the files of a generation's item tables that a worker of retrieval maps."""
    held = []
    for worker in workers(deployment, "Retrieval"):
        lines = [line.split() for line in Path(f"/proc/{worker}/smaps").read_text().splitlines()]
        heads = [line for line in lines if "-" in line[0] and len(line) > 5 and generation in line[5]]
        spans = [line[0].split("-") for line in heads if Path(line[5]).name in tables]
        held.append(sum(int(end, 16) - int(start, 16) for start, end in spans))
    return max(held)


def _slowest(answers: list[Answer]) -> str:
    return f"slowest {1e3 * max((answer.seconds for answer in answers), default=0.0):.0f} ms"

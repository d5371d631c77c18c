"""Explored slates of made-up visitors, as a generation serves them and the flow `drain` writes them.

Each visitor likes one category of the tiny sample, and has used items of it since the training. A visitor takes an item
of the category more often than another one.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.collection.credited_events import credited_events
from flows.drain import to_table
from recsys.experiments.assigned_arms import AssignedArms
from recsys.experiments.definition import Arm, Explore
from recsys.lists.impression import Impression
from recsys.lists.user_record import UserRecord
from recsys.model.features import FEATURES
from recsys.rules import Rules, compile_rules
from recsys.types import Event
from tests.sample_data.tiny import CATEGORIES, PER_CATEGORY
from training.read.collected import SCHEMA

K = 4
LIKED, OTHER = 0.6, 0.15
"""How often a visitor takes an item of the liked category at the first place, and one of another."""


def visitors(count, start, seed=0):
    """The events of each visitor, by id: two to five items of a category, after `start`."""
    random, found = np.random.default_rng(seed), {}
    for number in range(count):
        user, category = f"v{seed}-{number}", CATEGORIES[number % 3]
        items = random.permutation(PER_CATEGORY)[: random.integers(2, 6)]
        found[user] = [Event(user, f"{category}-{each}", start + 60.0 * at) for at, each in enumerate(items)]
    return found


def serve(model, events, asked, explore, rules=None):
    """The slate of each visitor at a time, as queries. Seeds of the draws follow from user and time."""
    arm = Arm(share=1.0, explore=Explore(**explore))
    compiled = compile_rules(rules or Rules(), model.generation.spec)
    queries = []
    for user, since in events.items():
        assigned = AssignedArms({"x": "curious"}, {"x": arm})
        queries.append(model.query(user, K, asked, UserRecord.empty(), since, assigned=assigned, rules=compiled))
    model.answer(queries)
    return queries


def chances(query, events):
    """How often the visitor of a slate takes each of its items."""
    liked = events[query.user_id][0].item_id.partition("-")[0]
    ids = [query.generation.item_id(row) for row in query.items.tolist()]
    base = np.array([LIKED if each.startswith(liked) else OTHER for each in ids])
    return base / np.log2(np.arange(len(ids)) + 2)


def write(home: Path, queries, events, seed=1):
    """Write the slates below a folder, as `drain` does."""
    random, shown, taken = np.random.default_rng(seed), {}, {}
    for number, query in enumerate(queries):
        ids = [query.generation.item_id(row) for row in query.items.tolist()]
        named = [query.generation.item_id(row) for row in query.exploration.items]
        named = replace(query.exploration, items=named)
        zeros = np.zeros(len(ids), np.float32), np.zeros(len(ids), np.uint16)
        columns = ids, np.arange(len(ids), dtype=np.int16), *zeros, np.zeros((len(ids), len(FEATURES)), np.float32)
        about = query.generation.id, query.user_id, query.now, query.now, "realtime"
        more = {"arms": {"x": "curious"}, "dataset": "tiny", "exploration": named}
        shown[f"{number:06}-0"] = Impression(*about, *columns, **more)
        took = np.flatnonzero(random.random(len(ids)) < chances(query, events))
        taken[query.user_id] = [Event(query.user_id, ids[at], query.now + 1) for at in took]
    _write(home / "impressions", to_table(shown, credited_events(shown, {}, taken, 60.0), 60.0))


def write_events(home: Path, events):
    """Write the events of visitors below a folder, as `drain` collects them."""
    rows = [
        (f"{at}-0", each.user_id, each.item_id, each.timestamp, "interaction", None, {}, "tiny", each.timestamp)
        for at, each in enumerate(event for of_user in events.values() for event in of_user)
    ]
    columns = zip(zip(*rows, strict=True), SCHEMA, strict=True)
    arrays = [pa.array(list(values), each.type) for values, each in columns]
    _write(home / "events", pa.Table.from_arrays(arrays, schema=SCHEMA))


def _write(folder, table):
    (folder / "date=2026-12-01").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "date=2026-12-01" / "1-0.parquet")

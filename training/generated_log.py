"""Generated logs: datasets of random interactions, of any size for benchmarks, and in four shapes that every model
has to be able to train on.

A generated log has patterns to learn. Items are on a ring in contiguous categories, and a few items are very popular
(Zipf). A user has a long-tailed number of events in bursts: most events step one to three items along the ring, the
others are drawn by popularity. The log is written in blocks, so that a log of any length takes the memory of one block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.errors import DatasetError
from recsys.types import F64, I64
from training.read.mapping import MAPPING

BLOCK = 1_000_000
"""Events in memory at once."""

START, DAYS, DAY = 1_700_000_000, 180, 86_400
ZIPF_SHIFT = 10.0
"""The first rank: the most popular item has a few percent of the events, not a tenth."""

SERIES = 10
"""Neighbours on the ring that share a rank, so that a step along the ring keeps the popularity."""

STEP_ALONG, NEW_VISIT = 0.6, 0.15
"""Share of events that step along the ring, and of events that begin a visit. The others follow within minutes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size and the properties of a generated dataset.

    events: median of a user's events, whose number is lognormal. session: instead, the fewest and the most events of a
    user, each number as likely. repeats: share of events with an item that the user had before; without it a user has
    no item twice. described: whether there is an items table.
    """

    interactions: int
    items: int
    events: float = 30.0
    session: tuple[int, int] | None = None
    repeats: float = 0.0
    described: bool = True


SHAPES = {
    "plain": Shape(100_000, 5_000, described=False),
    "sessions": Shape(200_000, 10_000, session=(2, 5)),
    "repeats": Shape(200_000, 5_000, repeats=0.4),
    "wide": Shape(2_000_000, 200_000),
}
"""Four datasets that every model has to train on: three columns alone; short visits of new users; users who buy
again; 200,000 items."""

SCHEMA = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
INTERACTIONS = """
[interactions]
file = "interactions.parquet"
user_id = "user_id"
item_id = "item_id"
timestamp = "timestamp"
"""
ITEMS = """
[items]
file = "items.parquet"
item_id = "item_id"
title = "title"
categories = "categories"
available = "available"
categorical = ["maker"]
numeric = ["price"]
"""


def generate(shape: Shape, folder: Path, seed: int = 0, name: str = "generated") -> Path:
    """Write a dataset of exactly `shape.interactions` events into `folder`; the same seed gives the same bytes."""
    if shape.interactions < 1 or shape.items < 4:
        raise DatasetError("A generated dataset needs at least 1 interaction and 4 items.")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    ranks = np.repeat(rng.permutation(-(-shape.items // SERIES)) * SERIES, SERIES)[: shape.items]
    popularity = np.cumsum(1 / (ranks + ZIPF_SHIFT))
    ids = _names("item-", np.arange(shape.items))
    left, users = shape.interactions, 0
    with pq.ParquetWriter(folder / "interactions.parquet", SCHEMA) as writer:
        while left:
            owner, items, times = _block(shape, popularity, min(left + 100, BLOCK), rng)
            names = _names("user-", users + np.arange(owner[-1] + 1))
            block = pa.table([names.take(owner), ids.take(items), times], schema=SCHEMA)[:left]
            writer.write(block)
            left, users = left - len(block), users + len(names)
    toml = f'name = "{name}"\n{INTERACTIONS}'
    if shape.described:
        pq.write_table(_items_table(ids, rng), folder / "items.parquet")
        toml += ITEMS
    if shape.repeats:
        toml += "\n[settings]\nexclude_seen = false\n"
    (folder / MAPPING).write_text(toml, encoding="utf-8")
    return folder


def _items_table(ids: pa.Array, rng: np.random.Generator) -> pa.Table:
    """Title, two levels of category, a maker of ten items, a price and availability."""
    items = len(ids)
    category = np.arange(items) * max(4, math.isqrt(items)) // items  # as many categories as each has items
    return pa.table(
        {
            "item_id": ids,
            "title": _names("The item ", np.arange(items)),
            "categories": [f"shelf {number // 10}|category {number}" for number in category.tolist()],
            "maker": _names("maker-", rng.permutation(items) // 10),
            "price": np.round(rng.lognormal(3 + category // 10 % 5 / 2, 0.5), 2),
            "available": rng.random(items) > 0.01,
        }
    )


def _block(shape: Shape, popularity: F64, events: int, rng: np.random.Generator) -> tuple[I64, I64, I64]:
    """User, item and time of about so many events of whole users."""
    sizes = _sizes(shape, events, rng)
    owner, starts = np.repeat(np.arange(len(sizes)), sizes), np.cumsum(sizes) - sizes
    here = np.arange(len(owner))
    jump = rng.random(len(owner)) >= STEP_ALONG
    jump[starts] = True
    drawn = np.searchsorted(popularity, rng.random(len(owner)) * popularity[-1]).clip(max=shape.items - 1)
    walked = np.cumsum(np.where(jump, 0, rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1], size=len(owner))))
    last_jump = np.maximum.accumulate(np.where(jump, here, 0))
    items = (drawn[last_jump] + walked - walked[last_jump]) % shape.items
    times = _times(owner, starts, rng)
    if not shape.repeats:
        once = np.sort(np.unique(owner * shape.items + items, return_index=True)[1])
        return owner[once], items[once], times[once]
    earlier = starts[owner] + (rng.random(len(owner)) * (here - starts[owner])).astype(np.int64)
    source = np.where(rng.random(len(owner)) < shape.repeats, earlier, here)
    while not np.array_equal(source, source[source]):  # resolve a repeat of a repeat
        source = source[source]
    return owner, items[source], times


def _sizes(shape: Shape, events: int, rng: np.random.Generator) -> I64:
    """The number of events of each user, in all at least `events`; at most a quarter of the catalogue each."""
    if shape.session is not None:
        fewest, most = shape.session
        sizes = rng.integers(fewest, most + 1, size=events // fewest + 1)
    else:
        drawn = rng.lognormal(np.log(shape.events), 1.0, size=2 * int(events / shape.events) + 10)
        sizes = drawn.astype(np.int64).clip(2, max(2, min(5_000, shape.items // 4)))
    return sizes[: int(np.searchsorted(np.cumsum(sizes), events)) + 1]


def _times(owner: I64, starts: I64, rng: np.random.Generator) -> I64:
    """Unix seconds: a user's first day is random, visits follow in days and events in minutes, all before the end."""
    gaps = rng.exponential(np.where(rng.random(len(owner)) < NEW_VISIT, 3.0 * DAY, 120.0))
    gaps[starts] = 0
    passed = np.cumsum(gaps)
    passed -= passed[starts][owner]
    arrival = rng.random(len(starts)) * DAYS * DAY
    room = (DAYS * DAY - arrival) * rng.uniform(0.5, 1.0, len(starts))
    squeeze = np.minimum(1.0, room / np.maximum(np.maximum.reduceat(passed, starts), 1.0))
    times: I64 = START + (arrival[owner] + passed * squeeze[owner]).astype(np.int64)
    return times


def _names(prefix: str, numbers: I64) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(prefix), pc.cast(pa.array(numbers), pa.string()), "")

"""Generated logs: datasets of random interactions, of any size for benchmarks, and in four shapes that every model
has to be able to train on.

A generated log has patterns to learn. Items are on a ring in contiguous categories, and a few items are very popular
(Zipf). A user has a long-tailed number of events in bursts: most events step one to three items along the ring, the
others are drawn by popularity, half of them from a favourite category. The log is written in blocks, so that a log of
any length takes the memory of one block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from recsys.errors import DatasetError
from recsys.types import F64, I64
from training.data.mapping import MAPPING

BLOCK = 1_000_000
"""Events in memory at once."""

START, DAYS, DAY = 1_700_000_000, 180, 86_400
ZIPF_SHIFT = 10.0
"""The first rank: the most popular item has a few percent of the events, not a tenth."""

SERIES = 10
"""Neighbours on the ring that share a rank, so that a step along the ring keeps the popularity."""

STEP_ALONG, FROM_FAVOURITE = 0.6, 0.5
"""Share of events that step along the ring, and share of the others that are in the user's favourite category."""

NEW_VISIT = 0.15
"""Share of events that begin a visit. The others follow within minutes."""


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
    csv: bool = False

    @property
    def categories(self) -> int:
        """The number of categories: as many as each has items."""
        return max(4, math.isqrt(self.items))


SHAPES = {
    "plain": Shape(100_000, 5_000, described=False, csv=True),
    "sessions": Shape(200_000, 10_000, session=(2, 5)),
    "repeats": Shape(200_000, 5_000, repeats=0.4),
    "wide": Shape(2_000_000, 200_000),
}
"""Four datasets that every model has to train on: three columns of text; short visits of new users; users who buy
again; 200,000 items."""


def generate(shape: Shape, folder: Path, seed: int = 0, name: str = "generated") -> Path:
    """Write a dataset of exactly `shape.interactions` events into `folder`; the same seed gives the same bytes."""
    if shape.interactions < 1 or shape.items < 4:
        raise DatasetError("A generated dataset needs at least 1 interaction and 4 items.")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    world = World(shape, rng)
    log = "interactions.csv" if shape.csv else "interactions.parquet"
    with _writer(folder / log) as writer:
        for block in world.blocks(rng):
            writer.write(block)
    if shape.described:
        pyarrow.parquet.write_table(world.items_table(rng), folder / "items.parquet")
    (folder / MAPPING).write_text(_mapping(shape, name, log), encoding="utf-8")
    return folder


SCHEMA = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])


def _writer(path: Path) -> Any:
    """pyarrow's writer of the file's format: a context manager with `write`."""
    kind = pyarrow.csv.CSVWriter if path.suffix == ".csv" else pyarrow.parquet.ParquetWriter
    return kind(path, SCHEMA)


def _mapping(shape: Shape, name: str, log: str) -> str:
    text = f'name = "{name}"\n\n[interactions]\nfile = "{log}"\n'
    text += 'user_id = "user_id"\nitem_id = "item_id"\ntimestamp = "timestamp"\n'
    if shape.described:
        text += '\n[items]\nfile = "items.parquet"\nitem_id = "item_id"\ntitle = "title"\ncategories = "categories"\n'
        text += 'available = "available"\ncategorical = ["maker"]\nnumeric = ["price"]\n'
    if shape.repeats:
        text += "\n[settings]\nexclude_seen = false\n"
    return text


class World:
    """The items of a shape, and random draws of events and of the items table."""

    def __init__(self, shape: Shape, rng: np.random.Generator) -> None:
        self.shape = shape
        series = rng.permutation(-(-shape.items // SERIES))  # neighbours on the ring are about as popular
        weight = 1 / (np.repeat(series * SERIES, SERIES)[: shape.items] + ZIPF_SHIFT)
        self._cumulative = np.cumsum(weight) / weight.sum()
        self._category = np.arange(shape.items) * shape.categories // shape.items
        first = np.searchsorted(self._category, np.arange(shape.categories))
        self._below = np.append(0, self._cumulative)[np.append(first, shape.items)]
        self._ids = _names("item-", np.arange(shape.items))

    def blocks(self, rng: np.random.Generator) -> Iterator[pa.Table]:
        """The log in blocks of whole users, about BLOCK events each."""
        left, users = self.shape.interactions, 0
        while left:
            sizes = self._sizes(min(left + 100, BLOCK), rng)
            owner = np.repeat(np.arange(len(sizes)), sizes)
            items, times = self._items(owner, sizes, rng), _times(owner, sizes, rng)
            if not self.shape.repeats:
                once = np.sort(np.unique(owner * self.shape.items + items, return_index=True)[1])
                owner, items, times = owner[once], items[once], times[once]
            owner, items, times = owner[:left], items[:left], times[:left]
            left -= len(owner)
            names = _names("user-", users + np.arange(len(sizes)))
            users += len(sizes)
            yield pa.table([names.take(owner), self._ids.take(items), times], schema=SCHEMA)

    def items_table(self, rng: np.random.Generator) -> pa.Table:
        """Title, two levels of category, a maker of ten items, a price and availability."""
        n = self.shape.items
        maker = rng.permutation(n) // 10
        shelf = self._category // 10
        categories = [f"shelf {a}|category {b}" for a, b in zip(shelf.tolist(), self._category.tolist(), strict=True)]
        return pa.table(
            {
                "item_id": self._ids,
                "title": _names("The item ", np.arange(n)),
                "categories": categories,
                "maker": _names("maker-", maker),
                "price": np.round(rng.lognormal(3 + shelf % 5 / 2, 0.5), 2),
                "available": rng.random(n) > 0.01,
            }
        )

    def _sizes(self, events: int, rng: np.random.Generator) -> I64:
        """The number of events of each user, in all at least `events`; at most a quarter of the catalogue each."""
        most = max(2, min(5_000, self.shape.items // 4))
        if self.shape.session is not None:
            fewest, most = self.shape.session
            sizes = rng.integers(fewest, most + 1, size=events // fewest + 1)
        else:
            drawn = rng.lognormal(np.log(self.shape.events), 1.0, size=2 * int(events / self.shape.events) + 10)
            sizes = np.clip(drawn.astype(np.int64), 2, most)
        enough = int(np.searchsorted(np.cumsum(sizes), events)) + 1
        return sizes[:enough].astype(np.int64)

    def _items(self, owner: I64, sizes: I64, rng: np.random.Generator) -> I64:
        """The item of each event; the events of a user are contiguous."""
        count, starts = len(owner), np.cumsum(sizes) - sizes
        jump = rng.random(count) >= STEP_ALONG
        jump[starts] = True
        favourite = self._category[self._draw(rng.random(len(sizes)))][owner]
        spread = rng.random(count)
        low, high = self._below[favourite], self._below[favourite + 1]
        inside = rng.random(count) < FROM_FAVOURITE
        drawn = self._draw(np.where(inside, low + spread * (high - low), spread))
        steps = np.where(jump, 0, rng.choice(3, p=(0.6, 0.3, 0.1), size=count) + 1)
        walked, last_jump = np.cumsum(steps), np.maximum.accumulate(np.where(jump, np.arange(count), 0))
        items: I64 = (drawn[last_jump] + walked - walked[last_jump]) % self.shape.items
        return self._again(items, owner, starts, rng) if self.shape.repeats else items

    def _draw(self, uniform: F64) -> I64:
        """The item at each place of the cumulative popularity."""
        at: I64 = np.searchsorted(self._cumulative, uniform, side="right")
        return np.minimum(at, self.shape.items - 1)

    def _again(self, items: I64, owner: I64, starts: I64, rng: np.random.Generator) -> I64:
        """Replace a share of the events by one of the user's events before."""
        here = np.arange(len(items))
        earlier = starts[owner] + (rng.random(len(items)) * (here - starts[owner])).astype(np.int64)
        source = np.where(rng.random(len(items)) < self.shape.repeats, earlier, here)
        source[starts] = starts
        while not np.array_equal(source, source[source]):  # resolve a repeat of a repeat
            source = source[source]
        return items[source]


def _times(owner: I64, sizes: I64, rng: np.random.Generator) -> I64:
    """Unix seconds: a user's first day is random, visits follow in days and events in minutes, all before the end."""
    gaps = rng.exponential(np.where(rng.random(len(owner)) < NEW_VISIT, 3.0 * DAY, 120.0))
    starts = np.cumsum(sizes) - sizes
    gaps[starts] = 0
    passed = np.cumsum(gaps)
    passed -= passed[starts][owner]
    arrival = rng.random(len(sizes)) * DAYS * DAY
    room = (DAYS * DAY - arrival) * rng.uniform(0.5, 1.0, len(sizes))
    squeeze = np.minimum(1.0, room / np.maximum(passed[starts + sizes - 1], 1.0))
    times: I64 = START + (arrival[owner] + passed * squeeze[owner]).astype(np.int64)
    return times


def _names(prefix: str, numbers: I64) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(prefix), pc.cast(pa.array(numbers), pa.string()), "")

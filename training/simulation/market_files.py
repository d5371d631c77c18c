"""The dataset of a simulated market: its first log, its items on a day, and the settings of its trainings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys.types import I64
from training.simulation.market import PARTS, PAST_DAYS, Market
from training.simulation.simulated_clock import DAY_ZERO

HOURS = (8, 14, 20)
"""When slates are shown in the PARTS of a day, UTC. An hour before, users find items by a search."""

MAPPING = """
name = "simulated"

[interactions]
file = "log.parquet"
user_id = "user_id"
item_id = "item_id"
timestamp = "timestamp"
event_type = "event_type"

[items]
file = "items.parquet"
item_id = "item_id"
title = "title"
categories = "category"
available = "available"

[events]
target = ["click"]

[collected]
events = true
impressions = true

[training]
threads = 1
test_share = 0.05
test_queries = 500
precomputed = 10
label_share = 0.15
tower = { dim = 32, hidden = 64, epochs = 3 }
ranker = { queries = 4000, candidates = 60, epochs = 3 }
"""
"""The newest twentieth of the log is the test, about a day: slates of earlier days train the ranker."""


def user_id(user: int) -> str:
    """The id of a user."""
    return f"user-{user}"


def item_id(item: int) -> str:
    """The id of an item."""
    return f"item-{item}"


def item_row(id: str) -> int:
    """The number of an item."""
    return int(id.removeprefix("item-"))


def write_dataset(folder: Path, market: Market) -> None:
    """Write the mapping, the first log and the items before the first day."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(MAPPING, encoding="utf-8")
    first_log(market).to_parquet(folder / "log.parquet")
    write_items(folder, market, -1)


def first_log(market: Market) -> pd.DataFrame:
    """What users found on the days before the proof, when there are no slates."""
    days, random = [], np.random.default_rng(market.seed)
    for day in range(-PAST_DAYS, 0):
        visits = market.visits[day]
        starts = DAY_ZERO + 86_400 * day + 3_600 * (np.array(HOURS)[visits.parts] - 1)
        times = starts + random.integers(600, size=len(starts))
        days.append(pd.DataFrame({"user": visits.users, "item": visits.finds, "timestamp": times.astype(np.int64)}))
    rows = pd.concat(days).drop_duplicates(["user", "item"]).sort_values("timestamp", kind="stable")
    ids = {"user_id": rows["user"].map(user_id), "item_id": rows["item"].map(item_id)}
    return pd.DataFrame({**ids, "timestamp": rows["timestamp"], "event_type": "click"})


def write_items(folder: Path, market: Market, day: int) -> None:
    """Write the table of all items that were available on a day or before."""
    known, available = np.flatnonzero(market.first_day <= day), market.available(day)
    rows = [_described(market, item) | {"available": bool(available[item])} for item in known.tolist()]
    table = pd.DataFrame(rows).rename(columns={"categories": "category"})
    table["category"] = table["category"].str[0]
    table.to_parquet(folder / "items.parquet")


def new_items(market: Market, day: int) -> list[dict[str, Any]]:
    """What a shop sends to PUT /items on the morning of a day for its new items."""
    return [_described(market, item) for item in np.flatnonzero(market.first_day == day).tolist()]


def gone_items(market: Market, day: int) -> list[dict[str, Any]]:
    """What a shop sends to PUT /items on the morning of a day for items that are gone."""
    return [
        {"item_id": item_id(item), "available": False} for item in np.flatnonzero(market.last_day == day - 1).tolist()
    ]


def _described(market: Market, item: int) -> dict[str, Any]:
    category = f"category {market.category[item]}"
    return {"item_id": item_id(item), "title": f"Item {item}", "categories": [category]}


def rows_of(slates: Sequence[Sequence[str]]) -> I64:
    """The numbers of the items of slates of one length: [slates, places]."""
    return np.array([[item_row(id) for id in slate] for slate in slates])


assert len(HOURS) == PARTS

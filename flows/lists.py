"""Lists for everyone (`batch`) and for those who did something (`refresh`), and what is trending.

Killed at any moment they leave lists that are whole: each user's is one field, and what was not done is done next time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from prefect import flow

from flows.export_lists import exporting
from flows.listing_steps import fetch, follow_trend, list_everybody, list_some, live_of, load, read_active
from recsys.environment import Environment
from recsys.rules import RulesFile
from recsys.store.base import LIVE
from recsys.store.connect import open_store
from training.watch import Watch


@dataclass(frozen=True)
class Listed:
    """What a flow made. lists: users. parquet: where everyone's best stand, of `batch`.

    superseded_by: what went live meanwhile, if anything did. lost: events that left the log before `refresh` read them.
    """

    generation: str
    lists: int
    trending: int
    seconds: float
    parquet: str | None = None
    superseded_by: str | None = None
    lost: int = 0


@flow(name="batch", validate_parameters=False)
def batch(top: int, rules: Path | None, watch: Watch) -> Listed:
    """A list for every user that the live generation or the store knows, and everyone's best as Parquet."""
    start, now, environment = time.monotonic(), time.time(), Environment.read()
    in_force = RulesFile(rules or environment.rules, rules is not None or environment.rules_named).current
    with open_store(environment) as opened:
        generations, store = opened.generations(), opened.flows()
        generation = live_of(generations)
        folder = fetch(generation, environment, generations)
        hot = follow_trend(store, folder)
        maker = load(folder, opened.items(), in_force).with_trending(hot.ids)
        with exporting(environment, maker, top, now) as export, watch("lists") as progress:
            made = list_everybody(maker, generations, store, export, now, progress)
        live = generations.alias(LIVE)
    superseded = live if live != generation else None
    return Listed(generation, made, len(hot.items), time.monotonic() - start, str(export.path), superseded)


@flow(name="refresh", validate_parameters=False)
def refresh(watch: Watch) -> Listed:
    """New lists for those who did something since the last time, and what is trending."""
    start, now, environment = time.monotonic(), time.time(), Environment.read()
    in_force = RulesFile(environment.rules, environment.rules_named).current
    with open_store(environment) as opened:
        generations, store = opened.generations(), opened.flows()
        generation, made = live_of(generations), 0
        folder = fetch(generation, environment, generations)
        found = read_active(store, folder)
        hot = follow_trend(store, folder)
        if found.users:
            maker = load(folder, opened.items(), in_force).with_trending(hot.ids)
            with watch("lists") as progress:
                made = list_some(maker, generations, store, found.users, now, progress)
        if found.cursor:
            store.write_cursor(generation, found.cursor)  # last: a run that is killed makes the same lists again
        live = generations.alias(LIVE)
    superseded = live if live != generation else None
    return Listed(generation, made, len(hot.items), time.monotonic() - start, None, superseded, found.lost)

"""Move impressions from the store into Parquet files: a row for each shown item, with its features and its label.

No training reads the files yet. The features are those that ranked the slate when it was shown; the label is what the
user did within the wait after.
Entries leave the store, oldest first, once their files stand, and the first one names these: a rerun after a kill in
between writes the same files once more.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Annotated

import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import flow
from pydantic import Field

from flows.orchestration import leave_result, start_again, store_step
from flows.periods import OF_WAIT, WAIT_SECONDS
from flows.progress import run_progress
from flows.steps.impression_rows import to_table
from recsys.environment import Environment
from recsys.lists.impression import Impression
from recsys.model.features import FEATURES
from recsys.store.flow_port import FlowStore
from recsys.store.from_environment import open_store
from recsys.store.streams import LoggedImpression
from training.data.locations import Location, exports, writing

AT_ONCE = 2_000
"""Impressions of a step, at most: some 40,000 rows, 10 MB."""


@dataclass(frozen=True)
class Drained:
    """What was done. rows: items shown, taken: of them. damaged: entries that could not be read, and are gone.

    waiting: younger than the wait, among the last AT_ONCE that were read. lost: removed by the limits of the store
    before a drain could read them, since the last drain.
    """

    impressions: int = 0
    rows: int = 0
    taken: int = 0
    damaged: int = 0
    waiting: int = 0
    files: list[str] = field(default_factory=list)
    lost: int = 0

    def then(self, step: Drained) -> Drained:
        """Both together; what waits is what waits after the step."""
        return Drained(
            self.impressions + step.impressions,
            self.rows + step.rows,
            self.taken + step.taken,
            self.damaged + step.damaged,
            step.waiting,
            self.files + step.files,
        )


@flow(name="drain", timeout_seconds=900, on_crashed=[start_again])
def drain(
    wait: Annotated[float, Field(ge=0, le=30 * 86_400, description=OF_WAIT)] = WAIT_SECONDS,
) -> Drained:
    """Move impressions that are old enough from the store into Parquet files, with features and labels."""
    environment, done = Environment.read(), Drained()
    with open_store(environment) as opened, run_progress() as progress, progress.step("impressions") as shown:
        store, folder = opened.flows(), exports(environment, "impressions")
        while True:
            step = drain_some(store, folder, wait)
            done = done.then(step)
            shown.update(0.5, f"{done.impressions:,} impressions")
            if step.impressions + step.damaged < AT_ONCE:
                break  # slates that arrive from now on are for the next run: with no wait they would never end
        lost = store.lost_impressions()
        store.report_lost(lost)
    done = replace(done, lost=lost)
    leave_result(done)
    return done


@store_step
def drain_some(store: FlowStore, folder: Location, wait: float) -> Drained:
    """Write the oldest impressions that are old enough by the store's clock, and then remove them from the store."""
    now = store.now()  # entries have the time of the same clock
    entries = store.read_impressions(count=AT_ONCE)
    # Up to the first that is too young and no further: whatever a rerun finds ripe begins with the same entry.
    ripe = list(takewhile(lambda entry: entry.arrived + wait <= now, entries))
    shown = {entry.entry: told for entry in ripe if (told := _read(entry)) is not None}
    users = list({str(told.user_id) for told in shown.values()})
    events = dict(zip(users, store.read_events(users), strict=True))
    files, rows, taken = [], 0, 0
    for day, of_day in _by_day(shown).items():
        table = to_table(of_day, events, wait)
        path = folder / f"date={day}" / f"{ripe[0].entry}.parquet"
        with writing(path) as file:
            pq.write_table(table, file)
        files.append(str(path))
        rows, taken = rows + table.num_rows, taken + (pc.sum(table["label"]).as_py() or 0)
    store.drop_impressions([entry.entry for entry in ripe])
    return Drained(len(shown), rows, taken, len(ripe) - len(shown), len(entries) - len(ripe), files)


def _by_day(shown: Mapping[str, Impression]) -> dict[str, dict[str, Impression]]:
    days: dict[str, dict[str, Impression]] = defaultdict(dict)
    for entry, told in shown.items():
        days[time.strftime("%Y-%m-%d", time.gmtime(told.time))][entry] = told
    return days


def _read(entry: LoggedImpression) -> Impression | None:
    """What an entry holds; None where it is damaged, of another code's ranker, or no text that a file can hold."""
    try:
        told = Impression.unpack(entry.data)
        for each in (told.user_id, *told.items):
            str(each).encode()
    except ValueError:
        return None
    return told if len(told.items) and told.features.shape[1] == len(FEATURES) else None

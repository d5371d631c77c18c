"""The Prefect flow `drift`: compares the last 24 hours of served slates with the week before and with the training.

A slate is an ordered list of recommended items; `drain` writes them to files. The flow also computes the features of a
sample again from the store, and compares these with the logged ones (skew).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from socket import gethostname

import pandas as pd
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.orchestration import best_effort, step, store_step, write_result
from flows.run_records import recorded_flow
from flows.steps.drift_rows import DrawnSlates, read_slates
from recsys.environment import Environment
from recsys.errors import NOTHING_LIVE, GenerationError
from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import GenerationFolder
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.run_record import RunFigures
from recsys.store.stored_types import LIVE
from recsys.utc_day import DAY_SECONDS
from training.drift.drift_page import page
from training.drift.drift_reading import DriftReading, read
from training.drift.recomputed_features import Skew, skew_of
from training.export import training_slates
from training.judge.replay import ReplayedModel
from training.read.impressions import FOLDER
from training.read.locations import exports
from training.report.page import write

PAGE = "drift.html"

SKEW_ROWS = 1_000
"""Items that are recomputed, each of another user: seconds on one core."""


@dataclass(frozen=True)
class DriftResult:
    """The result of a run. generation: of most slates, empty without any. users: by sample.

    sentence, alarms: which columns drifted. skewed: features of which too many logged values differ. page: its path.
    """

    generation: str
    users: Mapping[str, int]
    sentence: str
    alarms: list[str]
    skew: Skew
    skewed: list[str]
    page: str
    drift: dict[str, tuple[float, float, int]] = field(default_factory=dict)

    def figures(self) -> RunFigures:
        """The figures for the record of the run: rows in are the users of the window."""
        return RunFigures(
            self.users["window"],
            generation=self.generation or None,
            drift=self.drift,
            skew=dict(self.skew.shares),
        )


@recorded_flow("drift", timeout_seconds=1_800)
def drift() -> DriftResult:
    """Compare the last day of drained slates, and write the page."""
    environment, until = Environment.read(), time.time()
    slates = read_slates(exports(environment, FOLDER), until)
    with open_store(environment) as store:
        generation = most_served(slates.window)
        folder = load_generation(store, generation, environment) if generation else None
        reading = compare(slates, generation, folder)
        skew = recompute(store, folder, slates.window[slates.window["generation"] == generation]) if folder else Skew()
        live = bool(generation) or store.generations().alias(LIVE) is not None
    begin = "" if live else f"{NOTHING_LIVE} "
    return _report(environment, generation, reading, skew, until - DAY_SECONDS, until, begin)


def most_served(window: pd.DataFrame) -> str:
    """The generation of most rows; empty without any."""
    return str(window["generation"].mode().iloc[0]) if len(window) else ""


@store_step
def load_generation(store: OpenStore, generation: str, environment: Environment) -> GenerationFolder | None:
    """The folder of a generation; None with a warning if the store no longer has it."""
    cache = GenerationCache(environment.folder("cache"), store.generations(), content_checks.check)
    try:
        return cache.fetch(generation)
    except GenerationError as error:
        get_run_logger().warning("The slates are not compared with those of the training. %s", error)
        return None


@step
def compare(slates: DrawnSlates, generation: str, folder: GenerationFolder | None) -> DriftReading:
    """The drift of the window's rows. generation, folder: of the one that made most of them."""
    return read(slates.window, slates.week, training_slates.read(folder) if folder else None, generation)


@store_step
def recompute(store: OpenStore, folder: GenerationFolder, window: pd.DataFrame) -> Skew:
    """The skew of a sample of the window's rows whose requests had no session and a store that answered."""
    rows = window[window["from_store"].fillna(True).astype(bool)].head(SKEW_ROWS)
    users, manifest = rows["user_id"].tolist(), folder.manifest
    records = store.generations().read_records(manifest.id, manifest.user_buckets, users)
    return skew_of(ReplayedModel.load(folder), rows, records, store.flows().read_events(users))


def _report(
    environment: Environment,
    generation: str,
    reading: DriftReading,
    skew: Skew,
    start: float,
    until: float,
    begin: str,
) -> DriftResult:
    """Write page and artifact, and log the alarms. begin: of the sentence."""
    report = page(generation, reading, skew, start, until)
    written = write(report, environment.folder("reports") / PAGE).resolve()
    result = DriftResult(
        generation,
        reading.users,
        f"{begin}{reading.sentence}",
        [each.name for each in reading.alarms],
        skew,
        skew.alarms,
        str(written),
        {each.name: (each.psi, each.p, int(each.alarm)) for each in reading.drifts},
    )
    if result.alarms:
        get_run_logger().warning(result.sentence)
    if result.skewed:
        get_run_logger().warning("Logged features differ from the store's: %s.", ", ".join(result.skewed))
    with best_effort():
        text = f"# Drift\n\n{report.sentence}\n\nThe page: `{written}` on `{gethostname()}`.\n"
        create_markdown_artifact(text, "drift", "Drift of served slates")
    write_result(result)
    return result

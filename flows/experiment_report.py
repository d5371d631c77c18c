"""The Prefect flow `experiment-report`: read an experiment from the slates that `drain` wrote, and write its report.

The report is an HTML page and, as Parquet, the rows that the figures were computed from: one for each user and surface.
The rows name no user, so a user who is deleted later is not in them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from socket import gethostname
from typing import Annotated

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.orchestration import best_effort, name_run, restart_after_crash, step, store_step
from flows.progress import artifact_key
from recsys.environment import Environment
from recsys.experiments.changes import found
from recsys.experiments.document import Experiment
from recsys.generation.manifest import SPEC, Manifest
from recsys.model.feature_spec import FeatureSpec
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.stored_types import LIVE
from training.data.impressions import FOLDER, by_day
from training.data.locations import Location, exports, reaching, writing
from training.experiments.experiment_page import page
from training.experiments.reading import Reading, read
from training.experiments.user_rows import SCHEMA, UserRows, slates_of, user_rows
from training.experiments.verdict import judge
from training.experiments.window import Window, window_of
from training.report.page import write

PAGES = "experiments"
"""The folder of pages and rows, below TANDEM_HOME and TANDEM_EXPORTS."""


@dataclass(frozen=True)
class ReportResult:
    """The result of a run. since, until: the window, unix seconds. words: the verdict on each arm.

    page, rows: the paths of the HTML page and of the Parquet file. reading: the figures.
    """

    experiment: str
    since: float
    until: float
    words: Mapping[str, str]
    verdict: str
    page: str
    rows: str
    reading: Reading


@flow(name="experiment-report", timeout_seconds=3_600, on_crashed=[restart_after_crash])
def experiment_report(
    name: Annotated[str, Field(description="the experiment")],
    since: Annotated[
        float | None, Field(description="begin of the window, unix seconds; default: the last ramp")
    ] = None,
) -> ReportResult:
    """Read an experiment, and write its page and rows."""
    environment, now = Environment.read(), time.time()
    with open_store(environment) as store:
        experiment, targets = find(store, name)
    name_run(f"experiment-report-{name}")
    window = window_of(experiment, now, since)
    rows = read_rows(exports(environment, FOLDER), experiment, window, targets)
    check_ratio = window.one_assignment and experiment.definition.assignment == "salt"
    reading = read(rows, window.shares, experiment.definition.primary, check_ratio)
    verdict = judge(reading)
    report = page(experiment, window, reading, verdict, _conversions(targets))
    written = write(report, environment.folder(PAGES) / f"{name}.html").resolve()
    file = write_rows(rows, exports(environment, PAGES) / f"{name}.parquet")
    with best_effort():
        text = f"# {name}\n\n{verdict.sentence}\n\nThe page: `{written}` on `{gethostname()}`.\n"
        create_markdown_artifact(text, artifact_key("experiment", name), f"Report of {name}")
    return ReportResult(name, window.since, window.until, verdict.words, verdict.sentence, str(written), file, reading)


@store_step
def find(store: OpenStore, name: str) -> tuple[Experiment, tuple[str, ...]]:
    """An experiment, and the types of events that recommendations should lead to in the live generation."""
    experiment, generations = found(store.experiments().read(), name), store.generations()
    live = generations.alias(LIVE)
    manifest = generations.read_manifest(live) if live else None
    if live is None or manifest is None:
        return experiment, ()
    size = Manifest.from_json(manifest).parts[SPEC].bytes
    return experiment, FeatureSpec.from_json(b"".join(generations.read_part(live, SPEC, size))).events.targets


@step
def read_rows(folder: Location, experiment: Experiment, window: Window, targets: Sequence[str]) -> UserRows:
    """The rows of an experiment, from the files of the days that the window and the period before touch."""
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (window.before, window.until))
    days = [files for day, files in by_day(folder).items() if first <= day <= last]
    return user_rows((_slates(files, targets) for files in days), experiment.name, window)


@step
def write_rows(rows: UserRows, target: Location) -> str:
    """Write the rows without the users' ids, and return the path: a user has a number, in the order of first slates."""
    numbers = {user: number for number, user in enumerate(rows.of().index)}
    tables = [rows.of(surface).assign(surface=surface) for surface in rows.surfaces]
    table = pd.concat(tables).reset_index() if tables else rows.of().reset_index().assign(surface="")
    table.insert(0, "user", table.pop("user_id").map(numbers).astype("int64"))
    with writing(target) as file:
        pq.write_table(pa.Table.from_pandas(table.sort_values(["user", "surface"]), preserve_index=False), file)
    return str(target)


def _slates(files: Sequence[Location], targets: Sequence[str]) -> pd.DataFrame:
    """The slates of one day's files. Files of an earlier version have no arms: the period before reads them."""
    tables = []
    for file in files:
        with reaching(file, "read"):
            dataset = ds.dataset(file.path, schema=SCHEMA, format="parquet", filesystem=file.filesystem())
            tables.append(dataset.to_table())
    return slates_of(pa.concat_tables(tables), targets)


def _conversions(targets: Sequence[str]) -> str:
    if not targets:
        return "The dataset names no target types in [events], so conversions are clicks."
    return f"A conversion is an event of type {' or '.join(targets)}."

"""Ingest: read a dataset, set bad rows aside, and stop if it shrank hard since the last run that went through."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.environment import Environment
from recsys.errors import DatasetError
from training.dataset import Dataset, read
from training.mapping import Mapping
from training.watch import Watch

SHRANK = 0.5
"""Share of the last run's rows below which a log is refused: half a log is a broken export, not a quiet day."""


@task(cache_policy=NO_CACHE)
def ingest(data: str, environment: Environment, allow_shrink: bool, watch: Watch) -> Dataset:
    """The validated dataset at `data`; bad rows go to TANDEM_HOME/quarantine/NAME."""
    name = Mapping.read(data).name
    with watch("reading the dataset"):
        dataset = read(data, empty_quarantine(environment, name))
    if not allow_shrink:
        refuse_shrunk(dataset, environment)
    return dataset


def empty_quarantine(environment: Environment, name: str) -> Path:
    """The dataset's quarantine, without what an earlier run left."""
    folder = environment.folder("quarantine") / file_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def refuse_shrunk(dataset: Dataset, environment: Environment) -> None:
    """DatasetError if the log holds less than half the rows of the last run that went through."""
    before, now = last_rows(environment, dataset.name), len(dataset.interactions)
    if now < before * SHRANK:
        raise DatasetError(
            f"The log of {dataset.name} has {now:,} good rows; the last run had {before:,}. "
            "If that is right, run again with --allow-shrink."
        )


def last_rows(environment: Environment, name: str) -> int:
    """Rows of the last run that went through; 0 if there was none."""
    try:
        return int(json.loads(_memory(environment, name).read_bytes())["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # a first run, or a note that a crash cut short: nothing to compare with


def remember(dataset: Dataset, environment: Environment) -> None:
    """Note the rows of a run that went through."""
    note = {"rows": len(dataset.interactions), "bad_rows": dataset.bad_rows}
    _memory(environment, dataset.name).write_text(json.dumps(note), encoding="utf-8")


def _memory(environment: Environment, name: str) -> Path:
    return environment.folder("ingest") / f"{file_name(name)}.json"


def file_name(name: str) -> str:
    """A dataset's name as a file may be called."""
    return re.sub(r"[^\w-]+", "-", name).strip("-").lower() or "dataset"

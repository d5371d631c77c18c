"""The step `ingest` of the training flow: read and validate a dataset, and write bad rows to a quarantine folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from prefect import get_run_logger

from flows.orchestration import step
from recsys.environment import Environment
from training.data.dataset import Dataset, read
from training.data.mapping import Mapping
from training.progress import RunProgress


@step
def ingest(data: str, environment: Environment, progress: RunProgress) -> Dataset:
    """The validated dataset at `data`; bad rows go to TANDEM_HOME/quarantine/NAME."""
    name = Mapping.read(data).name
    with progress.step("reading the dataset"):
        dataset = read(data, empty_quarantine(environment, name))
    for assumption in dataset.notes.assumptions:
        get_run_logger().warning(assumption)
    return dataset


def empty_quarantine(environment: Environment, name: str) -> Path:
    """The dataset's quarantine, emptied."""
    folder = quarantine_of(environment, name)
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def quarantine_of(environment: Environment, name: str) -> Path:
    """The folder of a dataset's bad rows."""
    return environment.folder("quarantine") / file_name(name)


def file_name(name: str) -> str:
    """A dataset's name as a file name."""
    return re.sub(r"[^\w-]+", "-", name).strip("-").lower() or "dataset"

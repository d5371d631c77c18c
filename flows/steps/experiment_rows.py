"""Read the rows of an experiment's users from the files of `drain`, and write them as Parquet without users' ids."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flows.orchestration import step
from flows.steps.experiment_sums import ExperimentSums
from recsys.experiments.document import Experiment
from recsys.utc_day import day_of
from training.experiments.user_rows import UserRows, user_rows
from training.experiments.window import Window
from training.read.day_partitions import by_day
from training.read.locations import Location, writing


@step
def read_rows(
    shown: Location, kept: Location, experiment: Experiment, window: Window, targets: Sequence[str]
) -> UserRows:
    """The rows of an experiment, from the days of shown items that the window and the period before touch.

    kept: the folder that keeps the sums of these days.
    """
    first, last = (day_of(at) for at in (window.before, window.until))
    days = {day: files for day, files in by_day(shown).items() if first <= day <= last}
    sums = ExperimentSums(kept, experiment.name, window, targets)
    return user_rows([sums.of_day(day, files) for day, files in days.items()], window.groups)


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

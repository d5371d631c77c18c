"""Join the files of days that are over, and remove days that are too old: the last step of the flow `drain`.

Both apply to folders on this host. In a bucket flows delete nothing: there files stay as they were written, and a
lifecycle rule removes old ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flows.orchestration import step
from recsys.utc_day import DAY_SECONDS, day_of
from training.read.collected import SCHEMA, entry_numbers, first_of_each
from training.read.day_partitions import DAY, by_day, filtered, read_table, write_groups
from training.read.locations import Location, reaching

WHOLE_DAY = "day.parquet"
"""The name of the one file of a day that is over."""


@step
def join_days(folder: Location, collected_until: float) -> int:
    """Join the files of each day before that of the last collected event; return the number of days.

    A run after a kill joins what is left: each entry is taken once, whichever files hold it.
    """
    if folder.remote:
        return 0
    over = {day: files for day, files in by_day(folder).items() if day < day_of(collected_until)}
    left = [(day, files) for day, files in over.items() if [file.name for file in files] != [WHOLE_DAY]]
    for day, files in left:
        _join(folder / f"{DAY}{day}" / WHOLE_DAY, [*files])
    return len(left)


def _join(whole: Location, files: Sequence[Location]) -> None:
    entries = [entry_numbers(read_table(file, ["entry"])) for file in files]
    write_groups(filtered(files, first_of_each(np.concatenate(entries))), whole, SCHEMA)
    for file in files:
        if file != whole:
            with reaching(file, "written"):
                Path(file.path).unlink(missing_ok=True)


@step
def remove_old_days(folders: Sequence[Location], now: float, days: int) -> int:
    """Remove the folders of days that began more than `days` days ago; return their number."""
    oldest, removed = day_of(now - days * DAY_SECONDS), 0
    for folder in folders:
        old = [] if folder.remote else [day for day in by_day(folder) if day < oldest]
        for day in old:
            path = folder / f"{DAY}{day}"
            with reaching(path, "written"):
                shutil.rmtree(path.path)
        removed += len(old)
    return removed

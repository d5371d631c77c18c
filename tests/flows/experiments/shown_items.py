"""Files of shown items of an experiment's users, as `drain` writes them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.experiments.definition import checked
from recsys.experiments.document import Experiment
from recsys.utc_day import DAY_SECONDS, day_of
from training.experiments.day_sums import SHOWN
from training.experiments.window import Window

EXPERIMENT = Experiment(definition=checked({"name": "look", "arms": {"new": {"share": 0.5}}}))
FIRST = 20_000 * DAY_SECONDS
DAYS, FILES = 4, 3
WINDOW = Window(
    since=FIRST + 1.15 * DAY_SECONDS,
    until=FIRST + (DAYS + 0.5) * DAY_SECONDS,
    before=FIRST - 28 * DAY_SECONDS,
    start=FIRST + 1.05 * DAY_SECONDS,
    shares={"control": 0.5, "new": 0.5},
)


def shown(day, number, seed=0, count=60, logged=True):
    """Shown items of a file of a day, two a slate. logged: whether the file has the assigned arms."""
    draw = np.random.default_rng([day, number, seed])
    user, taken = draw.integers(0, 40, count), draw.random(count) < 0.4
    at = np.sort(FIRST + (day + (number + draw.random(count)) / 10) * DAY_SECONDS)
    rows = []
    for slate in range(count):
        arm = f"other=x,look={'new' if user[slate] % 2 else 'control'}" if user[slate] % 5 else ""
        entry, served = f"{int(1_000 * at[slate])}-{slate % 3}", "" if draw.random() < 0.1 else arm
        for label, types in ((False, []), (bool(taken[slate]), ["buy", "view"][: 1 + slate % 2] * bool(taken[slate]))):
            place = "mail" if slate % 3 else "home"
            row = entry, f"user-{user[slate]}", at[slate], place, label, types, served, arm if logged else None
            rows.append(dict(zip(SHOWN.names, row, strict=True)))
    return pa.Table.from_pylist(rows, SHOWN)


def path_of(folder, day, number):
    return folder / f"date={day_of(FIRST + day * DAY_SECONDS)}" / f"{number}-0.parquet"


def put(folder, day, number, table=None, **more):
    """Write a file, in place of the one of this name."""
    path = path_of(folder, day, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(shown(day, number, **more) if table is None else table, path)
    return path

"""Made-up slates that users were shown and took one item of, as files that the flow `drain` leaves."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.model.features import FEATURES
from training.read.impressions import COLUMNS, SCHEMA
from training.read.locations import Location

PLACES = 10
WAIT = 60.0


def slates(count, times, seed=0, dataset="ring"):
    """Slates of ten items with random features; nothing is taken yet. times: the first slate's and the last one's."""
    random = np.random.default_rng(seed)
    slate, place = np.divmod(np.arange(count * PLACES), PLACES)
    found = pd.DataFrame(
        {
            "impression": [f"{seed}-{each}" for each in slate],
            "user_id": [f"u{each % 97}" for each in slate],
            "generation": "g1",
            "time": np.linspace(*times, count)[slate],
            "mode": "realtime",
            "surface": "home",
            "item_id": [f"i{each}" for each in place],
            "place": place.astype(np.int32),
            "event_types": [[]] * len(slate),
            "dataset": dataset,
            "explored": False,
        }
    )
    features = random.uniform(-1, 1, (len(slate), len(FEATURES))).astype(np.float32)
    return pd.concat([found, pd.DataFrame(features, columns=COLUMNS)], axis=1)


def take(rows, values, kind="click"):
    """Let each slate's user take the item with the largest value. values: [rows]."""
    best = pd.Series(values, rows.index).groupby(rows["impression"]).transform("max") == values
    rows["event_types"] = [[kind] if each else [] for each in best]
    return rows


def write(folder: Path, rows) -> Location:
    """Write the rows as one file of their first day."""
    day = pd.to_datetime(rows["time"].min(), unit="s").strftime("%Y-%m-%d")
    path = folder / f"date={day}" / f"{rows['impression'].iloc[0]}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    full = rows.reindex(columns=[*SCHEMA.names]).assign(labelled_until=rows["time"] + WAIT)
    pq.write_table(pa.Table.from_pandas(full, SCHEMA, preserve_index=False), path)
    return Location(str(path))

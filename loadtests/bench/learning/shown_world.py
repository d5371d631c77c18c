"""A made-up deployment: slates that a policy orders badly, and users who take items by taste and by place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.model.features import FEATURES
from recsys.types import F32, I64
from training.data.impressions import COLUMNS
from training.data.locations import Location
from training.ranker.examples import Examples

PLACES, OF_FILE = 20, 2_000
"""Items of a slate, and slates of a file, as `flows drain` writes them."""

WANTED, KNOWN, SHOWN_BY = (FEATURES.index(name) for name in ("tower", "covisit_0.9", "popularity_decayed"))
"""Features: two that users like, of which the log has the second alone, and one by which slates are ordered."""

TAKEN = 0.1
"""Share of the slates of which the user takes an item."""

WAIT = 1_800.0


@dataclass(frozen=True, slots=True)
class ShownWorld:
    """slates: of the deployment. explored: share of them whose items are drawn uniformly. start, end: unix seconds."""

    slates: int
    explored: float = 0.1
    start: float = 1_790_000_000.0
    end: float = 1_792_592_000.0

    def write(self, folder: Path) -> Iterator[Location]:
        """Write the slates as files; yield each file, the oldest first."""
        files = -(-self.slates // OF_FILE)
        times = np.linspace(self.start, self.end - WAIT, files * OF_FILE)
        for number in range(files):
            rows = self._rows(number, times[number * OF_FILE : (number + 1) * OF_FILE])
            path = folder / f"date={pd.Timestamp(rows['time'].iloc[0], unit='s'):%Y-%m-%d}" / f"{number:06}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            types = pa.array(rows.pop("event_types").tolist(), pa.list_(pa.string()))
            table = pa.Table.from_pandas(rows, preserve_index=False).append_column("event_types", types)
            pq.write_table(table, path, compression="zstd")
            yield Location(str(path))

    def _rows(self, number: int, times: np.ndarray) -> pd.DataFrame:
        random = np.random.default_rng(number)
        x = features(random, len(times))
        explored = random.random(len(times)) < self.explored
        order = np.argsort(-np.where(explored[:, None], random.random(x.shape[:2]), x[..., SHOWN_BY]), axis=1)
        x = np.take_along_axis(x, order[..., None], axis=1)
        place = np.arange(PLACES)
        taken = choices(random, utility(x) - np.log(1 + place))
        some = random.random(len(times)) < TAKEN
        hit = (np.arange(PLACES) == taken[:, None]) & some[:, None]
        propensity = np.where(explored[:, None], 1 / (PLACES - place), np.nan)
        slate = np.repeat(np.arange(len(times)), PLACES)
        rows = pd.DataFrame(
            {
                "impression": [f"{number}-{each}" for each in slate.tolist()],
                "user_id": [f"u{each}" for each in random.integers(self.slates, size=len(times))[slate].tolist()],
                "time": times[slate],
                "place": np.tile(place, len(times)),
                "propensity": propensity.ravel(),
                "dataset": "shown",
                "labelled_until": times[slate] + WAIT,
                "event_types": [["click"] if each else [] for each in hit.ravel().tolist()],
            }
        )
        return pd.concat([rows, pd.DataFrame(x.reshape(len(rows), -1), columns=COLUMNS)], axis=1)


def features(random: np.random.Generator, count: int, items: int = PLACES) -> F32:
    """Features of the items of slates: [count, items, F], uniform, rounded as those of real items repeat."""
    return (random.integers(-100, 101, (count, items, len(FEATURES))) / 100).astype(np.float32)


def utility(x: F32) -> F32:
    """How much users like items with features [..., F]: [...]."""
    return 3 * x[..., WANTED] + 3 * x[..., KNOWN]


def choices(random: np.random.Generator, values: np.ndarray) -> I64:
    """The item that each user takes, with odds of exp(value): [Q] of values [Q, K]."""
    taken: I64 = (values + random.gumbel(size=values.shape)).argmax(axis=1)
    return taken


def queries(count: int, items: int, seed: int, known: bool) -> Examples:
    """Queries without places. known: users take by KNOWN alone, as in the log; else by their taste."""
    random = np.random.default_rng(seed)
    x = features(random, count, items)
    taken = choices(random, 3 * x[..., KNOWN] if known else utility(x))
    answer = np.arange(items) == taken[:, None]
    return Examples(x, answer, np.ones_like(answer), np.ones(count, np.float32))

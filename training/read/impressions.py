"""Read impressions (slates of recommended items that a server showed, and which items the user took) from Parquet
files, as training examples for the ranker.

The command `python -m flows drain` writes these files. A row is one shown item: the ranker's features of the item at
that time, its place, and the types of the events by which the user took it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys.model.features import FEATURES
from recsys.types import F32, F64, I64
from recsys.user_digest import DeletedUsers
from training.processes.engine import LOCAL, Engine
from training.read.day_partitions import read_schema, read_table
from training.read.left_out_users import kept_rows
from training.read.locations import Location

FOLDER = "impressions"
"""The folder for `training.read.locations.exports`."""

PREFIX = "feature."


def columns_of(features: Iterable[str]) -> list[str]:
    """The columns of features in a file."""
    return [PREFIX + name for name in features]


COLUMNS = columns_of(FEATURES)
"""The columns of the features that every dataset has."""

SHOWN_ITEM = pa.schema(
    [
        ("impression", pa.string()),
        ("user_id", pa.string()),
        ("generation", pa.string()),
        ("time", pa.float64()),
        ("asked", pa.float64()),
        ("mode", pa.string()),
        ("surface", pa.string()),
        ("item_id", pa.string()),
        ("place", pa.int32()),
        ("score", pa.float32()),
        ("sources", pa.string()),
        ("label", pa.bool_()),
        ("event_type", pa.string()),
        ("event_types", pa.list_(pa.string())),
        ("arms", pa.string()),
        ("context", pa.string()),
        ("from_store", pa.bool_()),
        ("dataset", pa.string()),
        ("labelled_until", pa.float64()),
        ("explored", pa.bool_()),
        ("propensity", pa.float64()),
        ("exploration", pa.binary()),
        ("assigned", pa.string()),
    ]
)
"""The columns of a shown item but for its features."""

SCHEMA = pa.schema([*SHOWN_ITEM, *((name, pa.float32()) for name in COLUMNS)])
"""The columns of every file. Features of own columns follow, NaN in slates of a generation without them."""


def some_columns(*names: str) -> pa.Schema:
    """Some of the columns, for a reader of files of which earlier ones may lack a column."""
    return pa.schema([SCHEMA.field(name) for name in names])


TEXT = ("impression", "user_id")
READ = [*TEXT, "time", "place", "propensity", "dataset", "labelled_until"]
SLATE = [*TEXT, "time", "place", "grade", "labelled_until"]
DRAWN = ["place", "propensity", "grade", "labelled_until"]

OTHER_FEATURES = "with the features of another version"
NO_DATASET = "without the name of a dataset"
NO_FEATURES = "without features"
DELETED = "of deleted users"
NOTHING_TAKEN = "without a taken item"


@dataclass(frozen=True, slots=True)
class WantedSlates:
    """Which slates are read. dataset: of the generation that made a slate. grade: of a taken item by event type.

    until: labels that were complete by this moment may train; unix seconds. most: slates with a taken item that may
    train, and later ones, each. deleted: users whose slates before their deletion are left out. features: of the ranker
    that is trained; slates with others are left out.
    """

    dataset: str
    grade: Callable[[str], float]
    until: float
    most: int
    deleted: DeletedUsers = field(default_factory=dict)
    features: Sequence[str] = FEATURES


@dataclass(frozen=True, slots=True)
class ShownItems:
    """The n items of S slates with a taken item, and the m rows of slates that explored.

    features: [n, F] float32. grades: [n] float32, 0 for an item that the user did not take. places: [n], from 0 on.
    slates: [n] the slate, ascending. users: [S] the user's number. times: [S] when the slate was shown, ascending.
    until: [S] the end of the wait for its events. drawn: the columns DRAWN of all items that were drawn at random, also
    of slates without a taken item. left_out: slates by reason.
    """

    features: F32
    grades: F32
    places: I64
    slates: I64
    users: I64
    times: F64
    until: F64
    drawn: pd.DataFrame
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.times)


def read(files: Sequence[Location], wanted: WantedSlates, engine: Engine = LOCAL) -> ShownItems:
    """The newest slates of some files, each once. DatasetError names a file that can't be read.

    files: the newest first; reading ends when `wanted.most` slates may train. A slate may be in two files if
    `flows drain` was killed and a user was deleted before its next run. engine: reads the files.
    """
    reading = _Reading(wanted)
    able = engine.with_access_to(files[0].text) if files else engine
    with closing(able.map(partial(_rows_of, wanted), files)) as found:
        while reading.early < wanted.most and (of_file := next(found, None)):
            reading.add(*of_file)
    return reading.result()


def _rows_of(wanted: WantedSlates, file: Location) -> tuple[pd.DataFrame, Counter[str]]:
    """The rows of the dataset's slates in a file, without those of deleted users, and the left out slates by reason."""
    columns, names = columns_of(wanted.features), read_schema(file).names
    features = [name for name in names if name.startswith(PREFIX)]
    reason = NO_DATASET if {*columns} <= {*features} else OTHER_FEATURES
    if reason == OTHER_FEATURES or "dataset" not in names:
        slates = pc.count_distinct(read_table(file, ["impression"])["impression"]).as_py()
        return _no_rows([*READ, "grade", *columns]), Counter({reason: slates})
    table = read_table(file, [*READ, "event_types", *features])
    table = table.filter(pc.equal(table["dataset"], wanted.dataset))
    rows: pd.DataFrame = table.drop_columns("event_types").to_pandas()
    rows["grade"] = _grades(table["event_types"], wanted.grade)
    stays = kept_rows(rows["user_id"], rows["time"], wanted.deleted)
    return rows[stays], Counter({DELETED: rows.loc[~stays, "impression"].nunique()})


class _Reading:
    """The slates that were read so far. early, late: slates that may train, and later ones."""

    def __init__(self, wanted: WantedSlates) -> None:
        self._wanted, self._left_out, self._seen = wanted, Counter[str](), set[str]()
        self._columns = columns_of(wanted.features)
        self._shown, self._drawn = [_no_rows([*SLATE, *self._columns])], [_no_rows(DRAWN)]
        self.early = self.late = 0

    def add(self, rows: pd.DataFrame, left_out: Counter[str]) -> None:
        """Add the rows of a file. left_out: its other slates by reason."""
        self._left_out += left_out
        found = set(rows["impression"])
        rows = rows[~rows["impression"].isin(found & self._seen)]
        self._seen |= found
        self._drawn.append(rows.loc[rows["propensity"] < 1, DRAWN])  # with 1 the item was not drawn
        featured = self._featured(rows)
        of_slate = featured.groupby("impression")["grade"]
        taken = (of_slate.transform("max") > 0) & (of_slate.transform("size") > 1)
        self._count(NOTHING_TAKEN, featured.loc[~taken, "impression"].nunique())
        late = featured["labelled_until"] > self._wanted.until
        kept = featured[taken & ~(late & (self.late >= self._wanted.most))]
        self.early += kept.loc[~late, "impression"].nunique()
        self.late += kept.loc[late, "impression"].nunique()
        self._shown.append(kept[[*SLATE, *self._columns]])

    def _featured(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with the wanted features and no others. A file may have slates of two generations."""
        found = rows.filter(like=PREFIX).notna()
        some, wanted = found.any(axis=1), found[self._columns]
        right = wanted.all(axis=1) & (found.sum(axis=1) == wanted.shape[1])
        self._count(NO_FEATURES, rows.loc[~some, "impression"].nunique())  # no ranker ordered these
        self._count(OTHER_FEATURES, rows.loc[some & ~right, "impression"].nunique())
        return rows[right]

    def result(self) -> ShownItems:
        """The slates in order of time."""
        rows = pd.concat(self._shown).sort_values(["time", "impression"], kind="stable")
        slates, first = pd.factorize(rows["impression"])[0], rows.drop_duplicates("impression")
        return ShownItems(
            features=rows[self._columns].to_numpy(np.float32),
            grades=rows["grade"].to_numpy(np.float32),
            places=rows["place"].to_numpy(np.int64),
            slates=slates.astype(np.int64),
            users=pd.factorize(first["user_id"])[0].astype(np.int64),
            times=first["time"].to_numpy(np.float64),
            until=first["labelled_until"].to_numpy(np.float64),
            drawn=pd.concat(self._drawn, ignore_index=True),
            left_out=+self._left_out,
        )

    def _count(self, reason: str, slates: int) -> None:
        self._left_out[reason] += slates


def _grades(types: pa.ChunkedArray, grade: Callable[[str], float]) -> F32:
    """The largest grade of each row's event types, 0 without one: [rows]."""
    lists = types.combine_chunks()
    found = np.zeros(len(lists), np.float32)
    each = np.array([grade(name) for name in pc.list_flatten(lists).to_pylist()], np.float32)
    np.maximum.at(found, pc.list_parent_indices(lists).to_numpy(zero_copy_only=False), each)
    return found


def _no_rows(columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype="str" if name in TEXT else "float64") for name in columns})

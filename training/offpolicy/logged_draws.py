"""Read the draws of explored slates from the Parquet files of `flows drain`, and compare them with another policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from recsys.errors import DatasetError
from recsys.experiments.definition import Explore
from recsys.lists import exploration_record
from recsys.rules.exploration import Exploration
from recsys.types import F64, I64
from training.data.day_partitions import reading_parquet
from training.data.locations import Location
from training.offpolicy.explored_slates import ExploredSlates
from training.offpolicy.reward_model import RewardModel

_COLUMNS = pa.schema(
    [
        ("impression", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("place", pa.int32()),
        ("label", pa.bool_()),
        ("arms", pa.string()),
        ("explored", pa.bool_()),
        ("exploration", pa.binary()),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class LoggedDraws:
    """S explored slates of at most K places. users: [S] numbers from 0 on. draws: [S].

    shown: [S, K] the candidate at each place, -1 where no draw was made. rewards: [S, K] whether the user took it.
    """

    users: I64
    draws: Sequence[Exploration]
    shown: I64
    rewards: F64

    def under(self, explore: Explore) -> ExploredSlates:
        """The slates with the probabilities of another policy. DatasetError if the log can't have them."""
        if other := {each.policy.fewer_than for each in self.draws} - {explore.fewer_than}:
            raise DatasetError(
                f"explore.fewer_than is {explore.fewer_than}, and the log has slates with {min(other)}, which decided "
                "the uncertain items. Judge a policy with the same number."
            )
        logged, target, predicted, expected = (np.full(self.shown.shape, fill) for fill in (1.0, 1.0, 0.0, 0.0))
        model = RewardModel.fitted(self.users, self.draws, self.shown, self.rewards)
        for slate, place in zip(*np.nonzero(self.shown >= 0), strict=True):
            draws, shown = self.draws[slate], self.shown[slate, place]
            chances = draws.probabilities(place, explore.temperature, explore.uncertain)
            values = model.values(self.users[slate], draws, place)
            logged[slate, place], target[slate, place] = draws.propensities[place], chances[shown]
            predicted[slate, place], expected[slate, place] = values[shown], chances @ values
        return ExploredSlates(self.users, self.rewards, logged, target, predicted, expected)


def read(files: Iterable[Location]) -> LoggedDraws:
    """The explored slates of some files, each once. DatasetError names a file that can't be read."""
    tables = [_COLUMNS.empty_table(), *map(_table, files)]
    rows = pa.concat_tables(tables).to_pandas().drop_duplicates(["impression", "item_id"])
    draws, shown, rewards, users = [], [], [], []
    for _, slate in rows.groupby("impression", sort=True):
        record = slate["exploration"].dropna()
        if not len(record):
            continue
        each = exploration_record.unpack(record.iloc[0])
        number = {str(item): at for at, item in enumerate(each.items)}
        at, taken = np.full(len(each.admitted), -1), np.zeros(len(each.admitted))
        for item, place, label in zip(slate["item_id"], slate["place"], slate["label"], strict=True):
            at[place] = number.get(item, -1) if each.admitted[place].any() else -1
            taken[place] = bool(label)
        draws.append(each)
        shown.append(at)
        rewards.append(taken)
        users.append(slate["user_id"].iloc[0])
    return LoggedDraws(pd.factorize(np.array(users))[0].astype(np.int64), draws, _even(shown, -1), _even(rewards, 0.0))


def _table(file: Location) -> pa.Table:
    """The explored rows, without those of an arm that a person forced. Files of an earlier version have none."""
    with reading_parquet(file):
        found = ds.dataset(file.path, schema=_COLUMNS, format="parquet", filesystem=file.filesystem())
        return found.to_table(filter=pc.field("explored") & (pc.field("arms") != ""))


def _even(rows: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Rows of several lengths as one array, filled up at their ends."""
    found = np.full((len(rows), max(map(len, rows), default=0)), fill)
    for at, row in enumerate(rows):
        found[at, : len(row)] = row
    return found.astype(np.int64) if isinstance(fill, int) else found

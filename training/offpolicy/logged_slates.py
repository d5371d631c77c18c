"""Slates that explored, as `python -m flows drain` wrote them, the draws that a target policy would make at their
places, and how often users take an item.

The log has no reward of an item that it can't show at a place. So the judged policy makes the log's own draw where the
target would show such an item. The target's probability of these items is reported: it is how much the two differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.dataset as ds

from recsys.experiments.definition import Explore
from recsys.lists import exploration_record
from recsys.rules.exploration import BEYOND, Exploration, draw_probabilities
from recsys.types import F32, F64, I64
from recsys.user_digest import DeletedUsers
from training.offpolicy.estimates import ExploredSlates
from training.read.day_partitions import reading_parquet
from training.read.impressions import some_columns
from training.read.left_out_users import kept_rows
from training.read.locations import Location


@dataclass(frozen=True, slots=True, eq=False)
class TargetDraws:
    """The draws of one slate of K places, among the P candidates of the log.

    chances: [K, P] the probability of each candidate at a place, given the places before. outside: [K] the target's
    probability of all items that the log can't show there, which `chances` gives to the log's own draw.
    """

    chances: F64
    outside: F64


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The target's n candidates for a logged slate. at: [n] their places among the logged candidates, -1 without one.

    scores: [n] of the target's ranker. interactions: [n] in the target's data.
    """

    at: I64
    scores: F32
    interactions: F32


def redrawn(draws: Exploration, explore: Explore) -> TargetDraws:
    """The draws by the logged values, at another temperature or share."""
    places = range(len(draws.admitted))
    chances = [draws.probabilities(place, explore.temperature, explore.uncertain) for place in places]
    return TargetDraws(np.array(chances), np.zeros(len(chances)))


def as_logged(draws: Exploration, found: Scored, explore: Explore | None) -> TargetDraws:
    """The draws by the target's scores, with the rules of the log: its admitted items, boosts, and places without draw.

    A candidate outside the log counts as admitted and not boosted. explore: None for the logged policy.
    """
    policy, inside = explore or draws.policy, found.at >= 0
    deviation = float(np.std(found.scores, dtype=np.float64)) or 1.0
    values = found.scores.astype(np.float64)
    boosts = (draws.values[0].astype(np.float64) - draws.scores) / draws.deviation
    values[inside] += boosts[found.at[inside]] * deviation
    uncertain = found.interactions < policy.fewer_than
    order = np.argsort(-values, kind="stable")
    rare = uncertain[order]
    pool = order[(np.arange(len(order)) < len(draws.admitted) + BEYOND) | (rare & (rare.cumsum() <= BEYOND))]
    result = TargetDraws(np.zeros(draws.admitted.shape), np.zeros(len(draws.admitted)))
    for place, admitted in enumerate(draws.admitted):
        if not admitted.any():
            continue
        open_pool = pool[~inside[pool] | admitted[found.at[pool]]]
        chances = np.zeros(0)
        if len(open_pool):
            scale = policy.temperature * deviation
            chances = draw_probabilities(
                values[open_pool].astype(np.float32), uncertain[open_pool], scale, policy.uncertain
            )
        set_place(result, draws, place, found.at[open_pool], chances)
    return result


def set_place(target: TargetDraws, draws: Exploration, place: int, at: Sequence[int] | I64, chances: F64) -> None:
    """Set the draws of a place from the target's probabilities [n] of its items, at places `at` [n] of the log's."""
    at, admitted = np.asarray(at, np.int64), draws.admitted[place]
    inside = (at >= 0) & admitted[at]
    target.outside[place] = outside = max(1 - float(chances[inside].sum()), 0.0)
    target.chances[place] = outside * draws.probabilities(place)
    target.chances[place, at[inside]] += chances[inside]


EDGES = np.array([-0.5, 0.5, 1.5, 2.5])
"""Classes of scores: standard deviations above the mean of the slate's candidates."""

PRIOR = 20.0
"""Shown items of the place, of any score, that each class counts as its own."""


@dataclass(frozen=True, eq=False)
class RewardModel:
    """rates: [2, K, classes], of the users with an odd and with an even number."""

    rates: F64

    @classmethod
    def fitted(cls, users: I64, draws: Sequence[Exploration], shown: I64, rewards: F64) -> RewardModel:
        """The model of S slates. users: [S]. shown, rewards: [S, K]; see `LoggedDraws`."""
        counts, sums = np.zeros((2, 2, shown.shape[1], len(EDGES) + 1))
        for slate, place in zip(*np.nonzero(shown >= 0), strict=True):
            of = 1 - users[slate] % 2, place, _classes(draws[slate], place)[shown[slate, place]]
            counts[of] += 1
            sums[of] += rewards[slate, place]
        means = sums.sum(axis=2, keepdims=True) / np.maximum(counts.sum(axis=2, keepdims=True), 1)
        return cls((sums + PRIOR * means) / (counts + PRIOR))

    def values(self, user: int, draws: Exploration, place: int) -> F64:
        """The predicted reward of each candidate at a place: [P]."""
        found: F64 = self.rates[user % 2, place][_classes(draws, place)]
        return found


def _classes(draws: Exploration, place: int) -> I64:
    values = draws.values_at(place).astype(np.float64)
    finite = np.isfinite(values)
    centred = np.where(finite, values, 0) - values[finite].mean()
    found: I64 = np.digitize(centred / draws.deviation, EDGES)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class LoggedSlate:
    """A slate of K places that explored. asked: the time of the request, unix seconds. context: of the request.

    from_store: whether the user's history was that of the store alone. draws: its items are ids. items: [K] the id at
    each place, empty for an item that was no candidate. rewards: [K] whether the user took it.
    """

    user_id: str
    generation: str
    asked: float
    context: Mapping[str, str]
    from_store: bool
    draws: Exploration
    items: Sequence[str]
    rewards: F64

    @property
    def shown(self) -> I64:
        """The candidate at each place: [K], -1 where no draw was made."""
        number = {str(item): at for at, item in enumerate(self.draws.items)}
        pairs = zip(self.items, self.draws.admitted, strict=True)
        return np.array([number.get(item, -1) if admitted.any() else -1 for item, admitted in pairs], np.int64)


def under(slates: Sequence[LoggedSlate], target: Sequence[TargetDraws]) -> ExploredSlates:
    """Slates with the probabilities of a target policy. target: of each slate."""
    users = pd.factorize(np.array([each.user_id for each in slates], object))[0].astype(np.int64)
    draws, shown = [each.draws for each in slates], _even([each.shown for each in slates], -1)
    rewards = _even([each.rewards for each in slates], 0.0)
    model = RewardModel.fitted(users, draws, shown, rewards)
    logged, wanted, predicted, expected = (np.full(shown.shape, fill) for fill in (1.0, 1.0, 0.0, 0.0))
    for slate, place in zip(*np.nonzero(shown >= 0), strict=True):
        at, chances = shown[slate, place], target[slate].chances[place]
        values = model.values(users[slate], draws[slate], place)
        logged[slate, place], wanted[slate, place] = draws[slate].propensities[place], chances[at]
        predicted[slate, place], expected[slate, place] = values[at], chances @ values
    outside = _even([each.outside for each in target], 0.0)
    return ExploredSlates(users, rewards, logged, wanted, predicted, expected, outside)


def _even(rows: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Rows of several lengths as one array, filled up at their ends."""
    found = np.full((len(rows), max(map(len, rows), default=0)), fill)
    for at, row in enumerate(rows):
        found[at, : len(row)] = row
    return found.astype(np.int64) if isinstance(fill, int) else found


_COLUMNS = some_columns(
    *("impression", "user_id", "generation", "time", "asked", "item_id", "place", "label", "arms", "context"),
    *("from_store", "dataset", "explored", "exploration"),
)


@dataclass(frozen=True, slots=True)
class WantedExploredSlates:
    """Which slates are read. dataset: of the generation that made them; None for all. since: of the request.

    most: slates, the newest. deleted: users whose slates before their deletion are left out.
    """

    dataset: str | None = None
    since: float = -np.inf
    most: float = np.inf
    deleted: DeletedUsers = field(default_factory=dict)


ALL = WantedExploredSlates()


def read(files: Iterable[Location], wanted: WantedExploredSlates = ALL) -> list[LoggedSlate]:
    """The explored slates of some files, each once, by impression. DatasetError names a file that can't be read.

    files: where `wanted.most` is finite, the newest first.
    """
    found: dict[str, LoggedSlate] = {}
    for file in files:
        if len(found) >= wanted.most:
            break
        rows = _rows(file, wanted)
        newest_first = rows.sort_values("asked", ascending=False, kind="stable")
        for name, slate in newest_first.groupby("impression", sort=False):
            if len(found) >= wanted.most:
                break
            if str(name) not in found and slate["exploration"].notna().any():
                found[str(name)] = _slate(slate)
    return [found[name] for name in sorted(found)]


def _slate(rows: pd.DataFrame) -> LoggedSlate:
    """The slate of its rows."""
    rows = rows.drop_duplicates("item_id")
    first, draws = rows.iloc[0], exploration_record.unpack(rows["exploration"].dropna().iloc[0])
    items, taken = [""] * len(draws.admitted), np.zeros(len(draws.admitted))
    for item, place, label in zip(rows["item_id"], rows["place"], rows["label"], strict=True):
        items[place], taken[place] = item, bool(label)
    context: Mapping[str, str] = json.loads(first["context"] or "{}")
    user, generation, asked = first["user_id"], first["generation"], float(first["asked"])
    return LoggedSlate(user, generation, asked, context, first["from_store"] is not False, draws, items, taken)


def _rows(file: Location, wanted: WantedExploredSlates) -> pd.DataFrame:
    """The explored rows, without those of an arm that a person forced. Files of an earlier version have none."""
    kept = pc.field("explored") & (pc.field("arms") != "") & (pc.field("asked") >= wanted.since)
    if wanted.dataset is not None:
        kept &= pc.field("dataset") == wanted.dataset
    with reading_parquet(file):
        found = ds.dataset(file.path, schema=_COLUMNS, format="parquet", filesystem=file.filesystem())
        rows = found.to_table(filter=kept).to_pandas()
    return pd.DataFrame(rows[kept_rows(rows["user_id"], rows["time"], wanted.deleted)])

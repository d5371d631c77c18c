"""Drift on the demo's data: a model trained a week before its end answers the users of that week.

`python -m pytest -q -m slow tests/skew` runs it: four minutes of CPU.
"""

import numpy as np
import pytest

from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Event
from tests.servers.deployment import ROOT
from training.advisor.replayed_slates import ReplayedService
from training.config import small
from training.data import dataset
from training.data.interaction_log import DAY, encode
from training.drift import training_slates
from training.drift.comparison import WEEK
from training.drift.drawn_rows import draw
from training.drift.drift_reading import read
from training.drift.recomputed_features import FeatureRecomputation
from training.drift.replayed_impressions import replay
from training.export import Origin, export
from training.recipe import train

pytestmark = pytest.mark.slow

DAYS, RESAMPLED, USERS = 8, 200, 400


class Demo:
    """A generation of the demo's data without its last days, and the slates of the users of these days."""

    def __init__(self, folder):
        self.log = encode(dataset.read(ROOT / "data" / "movietweetings"))
        self.start = self.log.end + 1 - DAYS * DAY
        known = self.log.before(self.start)
        self.folder = export(folder, known, train(known, small()), small(), Origin("demo"))
        ranker = Ranker.load(self.folder).counting(self.log.recent_events)
        service = ReplayedService(ServedGeneration.load(self.folder), Retriever.load(self.folder), ranker)
        self.shown = replay(service, self.log, np.flatnonzero(self.log.times >= self.start))
        self.training = training_slates.read(self.folder)

    def read(self, day, change=lambda shown: shown):
        """The drift of one of the days, whose slates are changed before they are drawn."""
        start = self.start + day * DAY
        of_day = self.shown[(self.shown["time"] >= start) & (self.shown["time"] < start + DAY)]
        week = draw(self.shown, start - 7 * DAY, DAY, 7)
        return read(draw(change(of_day.copy()), start, DAY, 1), week, self.training, self.folder.manifest.id)

    def skew(self, rows):
        """The skew of drawn rows, against the records of the generation and the events of the log since."""
        ids, blobs = self.folder.users()
        packed = {ids[row]: blobs.bytes_at(row) for row in range(len(ids))}
        late, since = np.flatnonzero(self.log.times >= self.start), {}
        for at in late.tolist():
            item = str(self.log.catalogue.ids[self.log.items[at]])
            event = Event("", item, float(self.log.times[at]), "interaction")
            since.setdefault(str(self.log.user_ids[self.log.users[at]]), []).append(event)
        # A replayed query is made before the event of its time; a request precedes the event that it leads to.
        rows = rows.assign(asked=rows["asked"] - 1e-3, context="{}")
        users = rows["user_id"]
        events = [since.get(user, []) for user in users]
        return FeatureRecomputation.load(self.folder).skew(rows, [packed.get(user) for user in users], events)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return Demo(tmp_path_factory.mktemp("demo"))


def test_each_day_of_a_week_is_quiet(demo):
    """By the comparison with the training on the first days, by that with the week before on the others."""
    readings = [demo.read(day) for day in range(DAYS)]
    assert [reading.sentence for reading in readings if reading.alarms] == []
    assert [reading.judged for reading in readings] == ["training"] * 2 + [WEEK] * (DAYS - 2)


def scaled(shown):
    return shown.assign(**{"feature.like_best": 1.5 * shown["feature.like_best"]})


def without_ease(shown):
    return shown.assign(sources=[",".join(n for n in names.split(",") if n != "ease") for names in shown["sources"]])


def pushed(shown):
    return shown.assign(item_id=shown["item_id"].where(shown["place"] != 3, "pushed"))


@pytest.mark.parametrize("day", [0, DAYS - 1])
@pytest.mark.parametrize(
    ("change", "column"), [(scaled, "feature.like_best"), (without_ease, "source.ease"), (pushed, "item")]
)
def test_a_change_is_named_alone_within_a_day(demo, change, column, day):
    """On the first day of a generation and a week later."""
    assert [each.column for each in demo.read(day, change).alarms] == [column]


def test_a_shuffled_column_is_skew(demo):
    """The distribution stays; the feature differs from what the store gives, and no other feature does."""
    rows = draw(demo.shown, demo.start + 7 * DAY, DAY, 1)
    shuffled = np.random.default_rng(0).permutation(rows["feature.content_affinity"])
    assert demo.skew(rows).alarms == []
    assert demo.skew(rows.assign(**{"feature.content_affinity": shuffled})).alarms == ["feature.content_affinity"]


def test_resampled_windows_are_quiet(demo):
    """Of windows that are drawn from the same users as their reference at most 5 % have an alarm of any column."""
    random = np.random.default_rng(0)
    rows, generation, alarms = draw(demo.shown, demo.start, DAYS * DAY, 1), demo.folder.manifest.id, []
    for _ in range(RESAMPLED):
        drawn = rows.iloc[random.choice(len(rows), 2 * USERS, replace=False)]
        reading = read(drawn[:USERS], drawn[USERS:], None, generation)
        alarms += [reading.sentence] if reading.alarms else []
    assert len(alarms) <= 0.05 * RESAMPLED, alarms
